"""The application: its store, its routes, and the worker that keeps the view up to date."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from hitherto import ProjectionWorker, Store, connect
from hitherto.fastapi import install

from .api import router
from .views import OpenOrders


def create_app(store: Store | None = None) -> FastAPI:
    """Make the application.

    Args:
        store: Left out: that of DATABASE_URL, else sqlite:///hitherto.db.
    """
    store = store or connect(timeout=3.0)  # as long as a client would wait

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        # Of many such processes one works, and another takes over when it ends. To have one for
        # this alone: hitherto projections run shop.views:OpenOrders
        # If it fails, that is logged, and /ops/readyz says "degraded".
        worker = ProjectionWorker(store, OpenOrders())
        working = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await working

    app = FastAPI(title="shop", lifespan=lifespan)
    app.include_router(router)
    # Let only your own machines reach /ops/healthz and /ops/readyz.
    install(app, store, operations="/ops")
    return app
