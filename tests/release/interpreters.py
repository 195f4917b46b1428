"""Which Pythons this machine has."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_TELL = "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find(version: str) -> Path | None:
    """The first of a version on PATH, or among pyenv's, that runs; None if there is none."""
    return next((found for each in _candidates(version) if (found := _answer(each, version))), None)


def _candidates(version: str) -> Iterator[Path]:
    yield from (Path(folder, f"python{version}") for folder in os.get_exec_path())
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))


def _answer(candidate: Path, version: str) -> Path | None:
    """The interpreter behind a name: a shim of pyenv may stand for none."""
    if not candidate.exists():
        return None
    ended = subprocess.run(
        [candidate, "-I", "-c", _TELL], capture_output=True, text=True, check=False
    )
    told, _, executable = ended.stdout.strip().partition(" ")
    return Path(executable) if told == version else None
