"""The command, and what it refuses."""

import keyword
import re
import sys
from pathlib import Path

from rich.console import Console

from hitherto.cli.new.project import make_project
from hitherto.cli.printing import plain, say
from hitherto.errors import InvalidInput

_NAME = re.compile(r"[a-z]([a-z0-9_-]{0,28}[a-z0-9])?", re.ASCII)
# What the project imports cannot be its own name, too.
_IMPORTED = {
    "apsw", "asyncpg", "fastapi", "hitherto", "httpx2", "msgspec", "pydantic", "pytest",
    "starlette", "test", "tests", "uvicorn",
}  # fmt: skip


def new(name: str, /) -> None:
    """Make a project to start from: a small service with an aggregate, a view, an API and tests.

    It has orders, which you replace by what you have. It keeps them in SQLite, or in PostgreSQL
    where DATABASE_URL names one, and its tests pass as it is:

        hitherto new shop
        cd shop
        make test run

    Its README.md tells where things are.

    Parameters
    ----------
    name:
        Of the project, and of its folder, which is made in the current one; of its package, too,
        but with _ for -.
    """
    package = _package(name)
    target = Path(name)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidInput(f"{name} exists, and is no empty folder: give another name")
    make_project(target, package)
    console = Console(highlight=False)
    say(console, f"{name} is made; its README.md tells where things are. Next:", "green")
    say(console, f"  cd {name} && make test\n  make run")


def _package(name: str) -> str:
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{plain(name)!r} is no name for a project: give up to 30 lower-case letters, digits, "
            "- and _, such as my-shop, with a letter at its beginning and no - or _ at its end"
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names | _IMPORTED:
        raise InvalidInput(
            f"{name!r} cannot be the name of a project, since Python or the project imports "
            f"another {package}: give another name, such as my-{name}"
        )
    return package
