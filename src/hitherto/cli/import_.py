"""`hitherto import`: an export into a store."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto.application.moving import Moved, check_file, import_file
from hitherto.cli.connecting import connect
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say
from hitherto.cli.progress import bars
from hitherto.connect import Settings
from hitherto.infrastructure.urls import without_password


def import_(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    url: Url = None,
    *,
    schema: Schema = "public",
    as_json: AsJson = False,
) -> None:
    """Store the events of a file that `hitherto export` has written, as they were.

    They keep their ids, versions and times; each gets a new position at the end of the log. The
    store's tables are made if there are none:

        hitherto import shop.jsonl.gz sqlite:///shop.db

    The whole file is checked first: of one that was changed or cut off nothing is stored, and the
    line is told. An import that was broken off may be run again, and goes on. At the end each event
    is read back and compared with the file.

    Parameters
    ----------
    file:
        The file, of any kind that the export writes; - for stdin, which is kept in a temporary
        file.
    """
    where = without_password(Settings.from_environment(url=url).url)
    with _kept(file) as path:
        done = asyncio.run(_import(url, schema, path, "stdin" if file == "-" else file))
    if as_json:
        print_json({"store": where, **msgspec.structs.asdict(done)})
        return
    console = Console(highlight=False)
    say(console, f"{where} has all {done.events:,} events of the file, each as it tells.", "green")
    say(console, f"Stored now: {done.written:,}")
    say(console, f"Stored before: {done.skipped:,}")


async def _import(url: str | None, schema: str, path: Path, name: str) -> Moved:
    with bars() as progress:
        checked = await check_file(path, name=name, progress=progress)
        async with connect(url, schema=schema) as store:
            return await import_file(store, checked, progress=progress)


@contextmanager
def _kept(file: str) -> Generator[Path]:
    """Where the file is; stdin can only be read once."""
    if file != "-":
        yield Path(file)
        return
    with tempfile.NamedTemporaryFile(prefix="hitherto-import-") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name)
