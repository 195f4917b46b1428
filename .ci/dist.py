"""Builds the wheel and the sdist into a folder, and checks what they hold."""

import subprocess
import sys
import tarfile
import tempfile
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

_ROOT = Path(__file__).parents[1]
# What an installed package would be broken without, and a build leaves out without a word.
_NEEDED = (
    "hitherto/py.typed",
    "hitherto/examples/traffic_fines/events.schema.json",
    "hitherto/examples/traffic_fines/sample.jsonl.gz",
    "hitherto/infrastructure/postgres/migrations/0001_tables.sql",
    "hitherto/infrastructure/sqlite/migrations/0001_initial.sql",
)
_IN_THE_SDIST = ("pyproject.toml", "README.md", "CHANGELOG.md", "SECURITY.md", "constraints.txt")


def main(folder: str = "dist") -> int:
    """Build both anew and check them; returns the exit status."""
    target = Path(folder)
    for old in target.glob("hitherto-*"):
        old.unlink()
    wheel, sdist = build(_ROOT, target, "wheel"), build(_ROOT, target, "sdist")
    wrong = [*wrong_with_wheel(wheel), *wrong_with_sdist(sdist, wheel)]
    for built in (wheel, sdist):
        sys.stdout.write(f"{built} {built.stat().st_size:,} bytes\n")
    sys.stdout.writelines(f"wrong: {each}\n" for each in wrong)
    return 1 if wrong else 0


def build(source: Path, target: Path, kind: str) -> Path:
    """Build one of them from a tree; returns its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "-d", target.resolve()]
    subprocess.run(command, cwd=source, check=True)  # noqa: S603
    (built,) = target.glob("hitherto-*.whl" if kind == "wheel" else "hitherto-*.tar.gz")
    return built


def wrong_with_wheel(wheel: Path) -> list[str]:
    """What it lacks, or has too much."""
    with ZipFile(wheel) as packed:
        held = set(packed.namelist())
        (about,) = {name.partition("/")[0] for name in held if ".dist-info/" in name}
        metadata = Parser().parsestr(packed.read(f"{about}/METADATA").decode())
        entries = packed.read(f"{about}/entry_points.txt").decode()
    package, source = {name for name in held if not name.startswith(f"{about}/")}, _source()
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    missing = set(project["optional-dependencies"]) - {*metadata.get_all("Provides-Extra", [])}
    wrong = [f"{name} is not in the wheel" for name in sorted({*source, *_NEEDED} - package)]
    wrong += [f"{name} is in the wheel" for name in sorted(package - source)]
    wrong += [f"the extra {name} is not told" for name in sorted(missing)]
    if "hitherto = hitherto.cli:main" not in entries:
        wrong.append("the command is not told")
    return wrong


def wrong_with_sdist(sdist: Path, wheel: Path) -> list[str]:
    """What it lacks; it must make the same wheel again, to the byte."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as packed:
            packed.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        lacking = [name for name in _IN_THE_SDIST if not (source / name).exists()]
        wrong = [f"{name} is not in the sdist" for name in lacking]
        if build(source, Path(folder), "wheel").read_bytes() != wheel.read_bytes():
            wrong.append("the sdist makes another wheel")
        return wrong


def _source() -> set[str]:
    """The files of the packages, as a wheel names them."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = (path for package in packages for path in (_ROOT / package).rglob("*"))
    return {
        path.relative_to(_ROOT / "src").as_posix()
        for path in files
        if path.is_file() and path.suffix != ".pyc"
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
