"""A store made and verified from the command line."""

import asyncio
import sys
from pathlib import Path

from tests.release.extras.counter import count

from hitherto import connect
from hitherto.cli import main


async def make() -> None:
    Path("with_cli.db").unlink(missing_ok=True)
    async with connect("sqlite:///with_cli.db") as store:
        await count(store)


asyncio.run(make())
sys.exit(main(["verify", "sqlite:///with_cli.db"]))
