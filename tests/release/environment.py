"""A virtual environment of its own, outside the tree, that holds the wheel."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Environment:
    """Made empty; pip stays outside, so that nothing is there but what was installed.

    Args:
        folder: Where to make it.
        python: The interpreter it is for.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        self._python = folder / "bin/python"

    def install(self, *requirements: str) -> None:
        """Install packages, with the versions of `constraints.txt`."""
        pip = [sys.executable, "-m", "pip", "--python", str(self._python), "install", "--quiet"]
        options = ["--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *options, *requirements], check=True, stderr=subprocess.PIPE)

    def run(
        self, folder: Path, *arguments: str, settings: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run Python in a folder; what it printed, errors included, is in `stdout`."""
        return subprocess.run(
            [self._python, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": "", **(settings or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
