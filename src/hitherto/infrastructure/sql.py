"""SQL that is kept in files: named queries and numbered migrations of a backend."""

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def named_queries(package: str, resource: str = "queries.sql") -> dict[str, str]:
    """The queries of a file in which each begins with a line ``-- name: …``."""
    text = resources.files(package).joinpath(resource).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


@cache
def migrations(package: str) -> list[tuple[int, str]]:
    """Number and text of each file ``migrations/NNNN_name.sql``, in order."""
    folder = resources.files(package).joinpath("migrations")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [
        (int(name.partition("_")[0]), folder.joinpath(name).read_text(encoding="utf-8"))
        for name in files
    ]
