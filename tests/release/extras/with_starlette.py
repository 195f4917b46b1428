"""A service that tells its health."""

import asyncio

from tests.release.extras.asking import status

from hitherto import connect
from hitherto.starlette import install


async def main() -> None:
    from starlette.applications import Starlette

    app = Starlette()
    install(app, connect("memory:"), operations="/ops")
    assert await status(app, "/ops/readyz") == 200


asyncio.run(main())
