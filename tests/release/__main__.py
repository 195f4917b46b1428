"""The built wheel, as a user has it: ``python -m tests.release dist/….whl``, or ``make test-dist``.

Each Python that is found gets an environment with the wheel, and runs a fast part of the suite
there. Each extra gets one with nothing else in it: its feature works, and without it the error says
what to install.
"""

import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError

from tests.release import interpreters
from tests.release.environment import ROOT, Environment
from tests.servers import start_cluster

SUITE = (
    "tests/contract/test_memory.py",
    "tests/contract/test_sqlite.py",
    "tests/typing/test_typing.py::test_the_readme_begins_with_the_program",
    "tests/typing/test_typing.py::test_the_program_runs",
    "tests/acceptance/test_docs.py::test_the_readme_shows_the_output_that_its_program_prints",
    "tests/unit/cli/test_app.py",
    "tests/unit/cli/test_entry.py",
    "tests/unit/cli/test_verify.py",
    "examples/test_users.py",
)
_SUITE_NEEDS = (
    "asyncpg", "hypothesis", "psutil", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist",
)  # fmt: skip
_PLACE = "import hitherto, sys; sys.exit(not hitherto.__file__.startswith(sys.prefix))"


def main(wheel: str) -> int:
    """Test a wheel; returns the exit status."""
    found = {version: interpreters.find(version) for version in interpreters.VERSIONS}
    pythons = {version: python for version, python in found.items() if python is not None}
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="hitherto-release-") as folder:
        place = _copied(Path(folder))
        for version in found:
            if version not in pythons:
                print(f"{version}: skipped, not found on PATH nor below ~/.pyenv/versions")
                continue
            environment = Environment(place / f"python{version}", pythons[version])
            with _told(f"{version}: the suite", failed) as problems:
                problems.extend(_suite(environment, place, Path(wheel).resolve()))
        if pythons:
            failed += _extras(place, next(iter(pythons.values())), Path(wheel).resolve())
    print("failed: " + ", ".join(failed) if failed else f"{len(pythons)} Pythons, all well")
    return 1 if failed or not pythons else 0


def _copied(folder: Path) -> Path:
    """What the tests need of the tree, and not the package."""
    for name in ("tests", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def _suite(environment: Environment, place: Path, wheel: Path) -> Iterator[str]:
    environment.install(f"{wheel}[cli]", *_SUITE_NEEDS)
    if environment.run(place, "-c", _PLACE).returncode:
        yield "it is not the installed package that is imported"
    # Else pytest would rewrite the package, which has a plugin, and `runpy` could not run it.
    options = ("-q", "-n2", "-p", "no:cacheprovider", "--assert=plain")
    ended = environment.run(place, "-m", "pytest", *options, *SUITE)
    print(ended.stdout.strip().rpartition("\n")[2])
    if ended.returncode:
        yield ended.stdout


def _extras(place: Path, python: Path, wheel: Path) -> list[str]:
    """Each extra alone, and what is said without it; returns those that failed."""
    failed: list[str] = []
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bare = Environment(place / "bare", python)
    bare.install(str(wheel))
    cluster = start_cluster()
    settings = {"TEST_DATABASE_URL": cluster.url()}
    for extra in told:
        with _told(f"hitherto[{extra}]", failed) as problems:
            environment = Environment(place / f"with_{extra}", python)
            environment.install(f"{wheel}[{extra}]")
            problems.extend(_extra(extra, environment, bare, place, settings))
    cluster.stop()
    return failed


def _extra(
    extra: str, alone: Environment, bare: Environment, place: Path, settings: Mapping[str, str]
) -> Iterator[str]:
    program = ("-m", f"tests.release.extras.with_{extra}")
    if extra == "all":
        program = ("-c", "import hitherto.cli.app, hitherto.django, hitherto.fastapi")
    ended = alone.run(place, *program, settings=settings)
    if ended.returncode:
        yield ended.stdout
    without = bare.run(place, *program, settings=settings)
    if extra != "all" and (not without.returncode or f"hitherto[{extra}]" not in without.stdout):
        yield f"without it: {without.stdout}"


@contextmanager
def _told(what: str, failed: list[str]) -> Iterator[list[str]]:
    """Tells how long something took and what was wrong, which the block adds to a list."""
    began = time.monotonic()
    problems: list[str] = []
    try:
        yield problems
    except CalledProcessError as error:
        problems.append(f"{error}\n{(error.stderr or b'').decode()}")
    print("\n".join(problems) or f"{what}: {time.monotonic() - began:.0f} s", flush=True)
    if problems:
        failed.append(what)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
