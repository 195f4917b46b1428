"""A service with a repository as a dependency, which finds nobody."""

import asyncio

from tests.release.extras.asking import status
from tests.release.extras.counter import Counter

from hitherto import Repository, connect
from hitherto.fastapi import repository
from hitherto.starlette import install


async def main() -> None:
    from fastapi import Depends, FastAPI

    app = FastAPI()
    install(app, connect("memory:"))
    counters = Depends(repository(Counter))

    @app.get("/{counter_id}")
    async def show(counter_id: str, found: Repository[Counter] = counters) -> int:
        return (await found.load(counter_id)).total

    assert await status(app, "/counter-1") == 404


asyncio.run(main())
