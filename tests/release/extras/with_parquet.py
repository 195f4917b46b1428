"""An export to a Parquet file."""

import asyncio
import tempfile
from pathlib import Path

from tests.release.extras.counter import count

from hitherto import connect
from hitherto.application.moving import export_log, writing


async def main() -> None:
    async with connect("memory:") as store:
        await count(store)
        with (
            tempfile.TemporaryDirectory() as folder,
            writing(Path(folder, "log.parquet")) as write,
        ):
            assert (await export_log(store.backend, write)).events == 1


asyncio.run(main())
