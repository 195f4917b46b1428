"""A log as an Arrow table."""

import asyncio

from tests.release.extras.counter import count

from hitherto import connect
from hitherto.frames import events_frame


async def main() -> None:
    async with connect("memory:") as store:
        await count(store)
        table = await events_frame(store, as_="arrow")
        assert table.column("by").to_pylist() == [2]


asyncio.run(main())
