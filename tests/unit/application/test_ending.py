"""A worker that fails says so at once, to the log and to who asks for the store's health."""

import asyncio
import logging
from typing import Any

import pytest
from tests.contract.projecting import Deposited, deposit, running, until

from hitherto import (
    Context,
    EventSerializationFailed,
    Projection,
    ProjectionWorker,
    connect,
    on,
    sync,
)


class Everything(Projection[None], name="everything"):
    """Of which no repository of the store knows the classes, at first."""

    def handle(self, events: Any, batch: Any) -> None: ...


class Quiet(Projection[None], name="quiet"):
    @on
    def deposited(self, event: Deposited, context: Context[None]) -> None: ...


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What is logged of workers that have ended."""
    records = [each for each in caplog.records if vars(each).get("event") == "projection_ended"]
    assert all(each.levelno == logging.ERROR for each in records)
    return [{name: vars(each)[name] for name in ("projection", "error")} for each in records]


async def test_what_ends_a_worker_is_logged_and_makes_the_store_degraded(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """Though nobody awaits it; until a worker of that projection is run again."""
    url = f"sqlite:///{tmp_path}/store.db"
    async with connect(url) as store:
        await deposit(store, "a", 1)
    async with connect(url) as store:
        working = asyncio.create_task(ProjectionWorker(store, Everything()).run())
        await until(working.done)
        (ended,) = told(caplog)
        assert ended["projection"] == "everything"
        assert "EventSerializationFailed: " in ended["error"]
        assert "'Account'" in ended["error"]
        health = await store.health_check()
        assert health.status == "degraded"
        problem = f"the worker of 'everything' in this process has ended: {ended['error']}"
        assert health.problems == (problem,)
        with pytest.raises(EventSerializationFailed):
            await working
        await deposit(store, "b", 1)  # Now it knows them.
        async with running(ProjectionWorker(store, Everything())):
            await store.wait_for("everything")
            assert (await store.health_check()).status == "healthy"
    assert len(told(caplog)) == 1


async def test_a_worker_that_is_cancelled_or_stopped_has_not_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That is what it was told to do."""
    async with connect("memory:") as store:
        await deposit(store, "a", 1)
        async with running(ProjectionWorker(store, Quiet())):
            await store.wait_for("quiet")
        worker = ProjectionWorker(store, Quiet())
        async with running(worker) as (working,):
            worker.stop()
            await working
        assert "has ended" not in str((await store.health_check()).problems)
    assert told(caplog) == []


def test_it_is_told_without_await_too(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    """By a thread of the worker's own."""
    url = f"sqlite:///{tmp_path}/store.db"

    async def fill() -> None:
        async with connect(url) as store:
            await deposit(store, "a", 1)

    asyncio.run(fill())
    with sync.connect(url) as store:
        with pytest.raises(EventSerializationFailed):
            sync.ProjectionWorker(store, Everything()).run()
        assert "'everything' in this process has ended" in store.health_check().problems[0]
    assert len(told(caplog)) == 1
