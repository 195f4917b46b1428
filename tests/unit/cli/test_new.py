"""`hitherto new`: what it makes, what it refuses, what it leaves."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from hitherto.cli.app import run
from hitherto.cli.new.project import bound

LONGEST = "a-name-of-30-letters-and-signs"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert run(["new", *words]) == status
    out, err = capsys.readouterr()
    assert (err if status == 0 else out) == ""
    return out + err


def test_a_project_has_its_own_name_everywhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of the template's remains; the next two commands are told."""
    printed = told(capsys, "my-bank")
    assert printed.endswith("Next:\n  cd my-bank && make test\n  make run\n")
    texts = [path.read_text() for path in (folder / "my-bank").rglob("*") if path.is_file()]
    assert len(texts) > 15
    assert not [text for text in texts if re.search(r"\bshop", text)]
    assert sum("my_bank" in text for text in texts) > 8
    assert {path.name for path in (folder / "my-bank").iterdir()} == {
        ".dockerignore", ".gitignore", "Dockerfile", "Makefile", "README.md", "compose.yaml",
        "events.schema.json", "my_bank", "pyproject.toml", "tests",
    }  # fmt: skip


def test_a_project_asks_for_this_version(folder: Path) -> None:
    """And for none that may break it."""
    run(["new", "bank"])
    project = tomllib.loads((folder / "bank/pyproject.toml").read_text())["project"]
    assert project["name"] == "bank"
    assert f"hitherto[cli,fastapi,postgres]{bound(version('hitherto'))}" in project["dependencies"]
    assert [bound(each) for each in ("0.1.0", "0.12.3", "1.0.0", "2.3")] == [
        ">=0.1.0,<0.2", ">=0.12.3,<0.13", ">=1.0.0,<2", ">=2.3,<3",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["no", LONGEST])
def test_odd_names_fit(name: str, folder: Path) -> None:
    """A word that YAML takes for something else, and one that makes lines long."""
    assert run(["new", name]) == 0
    services = yaml.safe_load((folder / name / "compose.yaml").read_text())["services"]
    database = services["database"]["environment"]["POSTGRES_DB"]
    assert database == name.replace("-", "_")
    assert services["service"]["environment"]["DATABASE_URL"].endswith(f"@database/{database}")
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["format", "--check"], ["check"]):
        ended = subprocess.run(
            [*ruff, *words, "--no-cache", name], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    "name",
    ["", ".", "Shop", "1shop", "shop-", "my shop", "a/b", "../shop", "-shop", "shöp", f"{LONGEST}x",
     "a\x1b[2J"],
)  # fmt: skip
def test_what_is_no_name_is_refused(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is made."""
    line = told(capsys, "--", name, status=1)
    assert "is no name for a project: give up to 30 lower-case letters" in line
    assert "\x1b[2J" not in line
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["class", "json", "test", "tests", "fastapi", "hitherto"])
def test_the_name_of_another_package_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody could import the other one."""
    line = told(capsys, name, status=1)
    assert f"another {name}: give another name, such as my-{name}" in line
    assert not Path(name).exists()


def test_a_folder_that_is_not_empty_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, too; a folder that is empty is used."""
    (folder / "full").mkdir()
    (folder / "full/notes").write_text("mine")
    (folder / "file").write_text("mine")
    for name in ("full", "file"):
        assert f"{name} exists, and is no empty folder" in told(capsys, name, status=1)
    assert sorted(path.name for path in folder.rglob("*")) == ["file", "full", "notes"]
    (folder / "empty").mkdir()
    told(capsys, "empty")
    assert (folder / "empty/Makefile").exists()


def test_nothing_is_left_of_one_that_could_not_be_made(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a part of it, nor where it was being made."""
    write, written = Path.write_text, 0

    def fail(path: Path, text: str, encoding: str) -> int:
        nonlocal written
        written += 1
        if written == 9:
            raise OSError(28, "No space left on device")
        return write(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", fail)
    assert "No space left on device" in told(capsys, "shop", status=1)
    assert list(folder.iterdir()) == []


def test_what_tools_have_left_in_the_template_is_not_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer compiles it; somebody may have run tests there."""
    from hitherto.cli.new import project

    template = folder / "template"
    shutil.copytree(project._TEMPLATE, template)
    for left in ("shop/__pycache__/app.cpython-311.pyc", ".ruff_cache/0.1/1", ".coverage"):
        (template / left).parent.mkdir(parents=True, exist_ok=True)
        (template / left).write_bytes(b"\xff")
    monkeypatch.setattr(project, "_TEMPLATE", template)
    assert run(["new", "bank"]) == 0
    assert not [path for path in (folder / "bank").rglob("*") if "cache" in path.name]
    assert not (folder / "bank/.coverage").exists()
