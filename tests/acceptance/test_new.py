"""What `hitherto new` makes, used as its README tells: tested, checked, served."""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.acceptance.services import Service, started
from tests.servers import SCHEMA_PREFIX

pytestmark = pytest.mark.integration

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, whose .venv is that of these tests."""
    folder = tmp_path_factory.mktemp("projects")
    told = subprocess.run(
        [sys.executable, "-m", "hitherto.cli", "new", "corner-shop"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cd corner-shop && make test" in told.stdout
    project = folder / "corner-shop"
    (project / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (project / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (project / ".venv/installed").touch()
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of it, for one test."""
    return Path(shutil.copytree(made, tmp_path / "corner-shop", symlinks=True))


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"{SCHEMA_PREFIX}_new_{next(_numbers)}"
    query(postgres_url, f"CREATE DATABASE {name}")
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    query(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_its_tests_and_checks_pass(project: Path) -> None:
    """As it was made, on SQLite: format, lint, types, events."""
    printed = make(project, "test", "check")
    assert " passed" in printed
    assert "Success: no issues found" in printed
    assert printed.endswith("Every event that the file knows can be read.\n")
    assert "Notes" not in printed  # The schema file tells of all events.
    assert not list(project.glob("*.db*"))


def test_its_tests_pass_on_postgresql(project: Path, database_url: str) -> None:
    """Where DATABASE_URL names it; they leave nothing there."""
    written = "SELECT tup_inserted FROM pg_stat_database WHERE datname = current_database()"
    (before,) = query(database_url, written)
    assert " passed" in make(project, "test", url=database_url)
    end = time.monotonic() + 60
    while query(database_url, written)[0] <= before + 100:  # The server counts with a delay.
        assert time.monotonic() < end
        time.sleep(0.1)
    assert query(database_url, "SELECT nspname FROM pg_namespace WHERE nspname ~ 'test'") == []
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert query(database_url, tables) == []


def test_its_check_notices_a_field_that_would_be_lost(project: Path) -> None:
    """The schema file is that of its events."""
    orders = project / "corner_shop/orders.py"
    orders.write_text(orders.read_text().replace("customer: str\n", "buyer: str\n"))
    ended = subprocess.run(
        [project / ".venv/bin/hitherto", "check", "corner_shop.orders"],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.split()[0]) == (1, "field-removed:")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_it_serves(kind: str, project: Path, request: pytest.FixtureRequest) -> None:
    """Orders are placed, filled, listed and shipped; what was stored is there after a restart."""
    url = "sqlite:///hitherto.db"
    if kind == "postgres":
        url = request.getfixturevalue("database_url")
    with started("new", url, project) as service:
        service.wait_until_ready()
        placed = service.ask("POST", "/orders", {"id": "order-1", "customer": "Ann"})
        assert (placed.status, placed.headers["location"]) == (201, "/orders/order-1")
        tea = {"product": "tea", "quantity": 2}
        filled = service.ask("POST", "/orders/order-1/items", tea, If_Match=placed.etag)
        assert (filled.status, filled.etag) == (200, '"2"')
        stale = service.ask("POST", "/orders/order-1/shipment", If_Match=placed.etag)
        assert (stale.status, stale.body["error"]) == (412, "PreconditionFailed")
        wait_for_list(service, {"order-1": {"customer": "Ann", "pieces": 2}})
        shipped = service.ask("POST", "/orders/order-1/shipment", If_Match=filled.etag)
        assert (shipped.status, shipped.body["shipped"]) == (200, True)
        wait_for_list(service, {})
        assert service.ask("GET", "/openapi.json").body["info"]["title"] == "corner_shop"
        service.terminate()
        assert service.log == ""
    shown = subprocess.run(
        [project / ".venv/bin/hitherto", "show", "order-1", "--aggregates", "corner_shop.orders"],
        cwd=project, env={**os.environ, "DATABASE_URL": url},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "OrderShipped" in shown.stdout


def make(project: Path, *targets: str, url: str | None = None) -> str:
    """What make printed, which has succeeded."""
    env = {**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider", "MYPY_CACHE_DIR": "/dev/null"}
    for name in ("DATABASE_URL", "MAKEFLAGS", "MAKELEVEL"):  # the last two: of a make around us
        env.pop(name, None)
    env |= {"DATABASE_URL": url} if url else {}
    ended = subprocess.run(
        ["make", *targets],
        cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def wait_for_list(service: Service, expected: object) -> None:
    end = time.monotonic() + 60
    while (shown := service.ask("GET", "/orders").body) != expected:
        assert time.monotonic() < end, f"{shown}\n{service.log}"
        time.sleep(0.02)


def query(url: str, statement: str) -> list[Any]:
    """The first column of what it returns."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())
