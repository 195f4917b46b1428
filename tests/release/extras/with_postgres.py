"""A save and a load on the server of TEST_DATABASE_URL."""

import asyncio
import os

from tests.release.extras.counter import count

from hitherto import connect


async def main() -> None:
    async with connect(os.environ["TEST_DATABASE_URL"], schema="release") as store:
        assert await count(store) == 2


asyncio.run(main())
