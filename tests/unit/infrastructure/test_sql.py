"""SQL in files: queries by name, migrations by number."""

import sys
from pathlib import Path

import pytest

from hitherto.infrastructure.sql import migrations, named_queries


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with SQL, of a name of its own, for what was read is kept."""
    name = f"sql_of_{tmp_path.name}"
    folder = tmp_path / name
    (folder / "migrations").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / "queries.sql").write_text(
        "-- About this file.\n\n-- name: first\n-- What it does.\nSELECT 'ü'\n\n"
        "-- name: second\nSELECT 2\nWHERE true\n",
        encoding="utf-8",
    )
    for file, text in (("0010_ten.sql", "ten"), ("0002_two.sql", "two"), ("notes.txt", "no")):
        (folder / "migrations" / file).write_text(text, encoding="utf-8")
    return name


def test_queries_are_found_by_name(package: str) -> None:
    """With the comment that describes them; what stands before the first one is left out."""
    assert named_queries(package) == {
        "first": "-- What it does.\nSELECT 'ü'",
        "second": "SELECT 2\nWHERE true",
    }


def test_migrations_come_in_the_order_of_their_numbers(package: str) -> None:
    """Other files beside them are none."""
    assert migrations(package) == [(2, "two"), (10, "ten")]


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_migrations_are_numbered_without_a_gap(backend: str) -> None:
    """The version of the tables is how many there are."""
    numbers = [number for number, _ in migrations(f"hitherto.infrastructure.{backend}")]
    assert numbers == list(range(1, len(numbers) + 1))
