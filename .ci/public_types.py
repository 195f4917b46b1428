"""Looks whether each type that the package shows is told in full, for checkers and for hovers.

It is ``pyright --verifytypes`` on the tree: pyright looks for the package on the interpreter's
path, and does not see an editable install there.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_TEMPLATE = "hitherto.cli.new.template."  # text for a project of the user's, and no module here


def main() -> int:
    """Tell what is missing; returns the exit status."""
    report = _report()
    symbols = [each for each in report["symbols"] if each["isExported"]]
    ours = [each for each in symbols if not each["name"].startswith(_TEMPLATE)]
    wrong = [each for each in ours if not each["isTypeKnown"] or each["isTypeAmbiguous"]]
    for symbol in wrong:
        for said in symbol["diagnostics"]:
            sys.stdout.write(f"{_place(said)}{symbol['name']}: {_one_line(said['message'])}\n")
    sys.stdout.write(f"types: {len(ours) - len(wrong):,} of {len(ours):,} public names are told\n")
    return 1 if wrong or not ours else 0


def _report() -> Any:
    binaries = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:  # away from what pyproject.toml says to pyright
        ended = subprocess.run(  # noqa: S603
            [binaries / "pyright", "--verifytypes", "hitherto", "--ignoreexternal", "--outputjson"],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(_ROOT / "src"),
            },
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    return json.loads(ended.stdout)["typeCompleteness"]


def _place(said: Any) -> str:
    if not said.get("file"):
        return ""
    path = os.path.relpath(said["file"], _ROOT)
    return f"{path}:{said['range']['start']['line'] + 1}: "


def _one_line(message: str) -> str:
    return "; ".join(line.strip() for line in message.splitlines())


if __name__ == "__main__":
    sys.exit(main())
