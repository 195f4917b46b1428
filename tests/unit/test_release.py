"""What `make dist`, `make test-dist` and `make sbom` stand on."""

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cyclonedx.model.bom import Bom
from tests.release import extras, interpreters

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def script(name: str) -> Any:
    """A script of the folder .ci, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    built: Path = script("dist").build(ROOT, tmp_path_factory.mktemp("dist"), "wheel")
    return built


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    """Code, SQL, types, examples, the command; no tests."""
    assert script("dist").wrong_with_wheel(wheel) == []


def test_what_a_wheel_lacks_or_has_too_much_is_told(wheel: Path, tmp_path: Path) -> None:
    """By its name."""
    other = tmp_path / wheel.name
    with ZipFile(wheel) as whole, ZipFile(other, "w") as damaged:
        for name in whole.namelist():
            content = (
                whole.read(name).replace(b"hitherto.cli:main", b"").replace(b": otel\n", b": \n")
            )
            if not name.endswith(("py.typed", "0005_hash_chain.sql")):
                damaged.writestr(name, content)
        damaged.writestr("tests/conftest.py", "")
    assert script("dist").wrong_with_wheel(other) == [
        "hitherto/infrastructure/postgres/migrations/0005_hash_chain.sql is not in the wheel",
        "hitherto/py.typed is not in the wheel",
        "tests/conftest.py is in the wheel",
        "the extra otel is not told",
        "the command is not told",
    ]


def test_each_extra_has_a_program_that_needs_it() -> None:
    """Which `make test-dist` runs with that extra alone, and without it."""
    programs = {path.stem for path in Path(next(iter(extras.__path__))).glob("with_*.py")}
    assert programs == {f"with_{extra}" for extra in EXTRAS} - {"with_all"}


def test_all_means_every_extra() -> None:
    """In the order of the list."""
    others = [extra for extra in EXTRAS if extra != "all"]
    assert EXTRAS["all"] == [f"hitherto[{','.join(others)}]"]


def test_a_name_that_runs_no_interpreter_of_its_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim of pyenv fails, a link may lead elsewhere; pyenv's own folders are looked at too."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    installed = tmp_path / f".pyenv/versions/{own}.1/bin"
    installed.mkdir(parents=True)
    (installed / "python").symlink_to(sys.executable)
    shim = tmp_path / f"python{own}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert interpreters.find(own) == installed / "python"
    assert interpreters.find("3.99") is None


def test_the_bill_of_materials_tells_what_each_installation_has() -> None:
    """Pinned, by scope, with who needs whom; nothing of the developers' own."""
    sbom = script("sbom")
    pinned = sbom.versions(ROOT / "constraints.txt")
    told = sbom.bill(pinned)
    scopes = {each["name"]: each["scope"] for each in told["components"]}
    assert {name for name, scope in scopes.items() if scope == "required"} >= {"apsw", "msgspec"}
    assert (scopes["asyncpg"], scopes["rich"]) == ("optional", "optional")
    assert not {"pytest", "mypy", "hitherto"} & scopes.keys()
    assert all(each["version"] == pinned[each["name"]] for each in told["components"])
    needs = {each["ref"]: each["dependsOn"] for each in told["dependencies"]}
    assert f"pkg:pypi/pycparser@{pinned['pycparser']}" in needs[f"pkg:pypi/cffi@{pinned['cffi']}"]
    assert told == sbom.bill(pinned)


def test_the_bill_of_materials_is_cyclonedx(capsys: pytest.CaptureFixture[str]) -> None:
    """As another program reads it."""
    sbom = script("sbom")
    assert sbom.main(str(ROOT / "constraints.txt")) == 0
    told = json.loads(capsys.readouterr().out)
    bom: Any = Bom.from_json(told)  # type: ignore[attr-defined]
    assert {str(part.purl) for part in bom.components} == {
        part["purl"] for part in told["components"]
    }


def test_a_package_that_is_not_pinned_stops_it() -> None:
    """Rather than be left out."""
    sbom = script("sbom")
    pinned = sbom.versions(ROOT / "constraints.txt")
    del pinned["msgspec"]
    with pytest.raises(LookupError, match="msgspec"):
        sbom.bill(pinned)
