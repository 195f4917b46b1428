"""Opening, closing and the health check."""

import asyncio

from hitherto.application.health import Health
from hitherto.application.ports import Backend
from hitherto.testing.store_contract.making import append_to, snapshot_of, versions


class LifecycleContract:
    """`open`, `close` and `health_check`."""

    async def test_opening_again_does_nothing(self, backend: Backend) -> None:
        """What is stored stays, and the store works on."""
        await backend.append([append_to("thing-1")])
        await backend.open()
        await backend.open()
        await backend.append([append_to("thing-1", after=1)])
        assert await versions(backend, "thing-1") == [1, 2]

    async def test_closing_again_does_nothing(self, backend: Backend) -> None:
        """It is no error."""
        await backend.close()
        await backend.close()

    async def test_a_closed_store_can_be_opened_again(self, backend: Backend) -> None:
        """Its events and snapshots are still there."""
        await backend.append([append_to("thing-1", 2)])
        await backend.save_snapshot(snapshot_of("thing-1", 2))
        position = await backend.watermark()
        await backend.close()
        await backend.open()
        assert await versions(backend, "thing-1") == [1, 2]
        assert await backend.read_snapshot("thing-1") == snapshot_of("thing-1", 2)
        assert await backend.watermark() == position
        (later,) = await backend.append([append_to("thing-1", after=2)])
        assert later > position

    async def test_a_store_can_be_closed_with_work_behind_it(self, backend: Backend) -> None:
        """Closing right after many appends loses none of them."""
        await asyncio.gather(*(backend.append([append_to(f"thing-{n}")]) for n in range(30)))
        await backend.close()
        await backend.open()
        assert (
            len(await backend.load_many([f"thing-{n}" for n in range(30)], fingerprint=None)) == 30
        )

    async def test_the_health_check_reports(self, backend: Backend) -> None:
        """An open store serves; whatever it warns of, it says in sentences."""
        await backend.append([append_to("thing-1")])
        health = await backend.health_check()
        assert health.status in {"healthy", "degraded"}
        assert (health.status == "degraded") == bool(health.problems)
        assert health.backend
        assert health.latency is not None
        assert health.latency >= 0
        assert health.watermark_lag == 0
        if health.pool is not None:
            assert 0 <= health.pool.idle <= health.pool.size <= health.pool.limit

    async def test_its_use_is_told_without_io(self, backend: Backend) -> None:
        """At rest nothing waits, and every connection is idle; a closed store has none."""
        await backend.append([append_to("thing-1")])
        usage = backend.usage()
        async with asyncio.timeout(30):  # What it does beside the append ends soon.
            while usage.pool is not None and usage.pool.idle < usage.pool.size:
                await asyncio.sleep(0.01)
                usage = backend.usage()
        assert usage.queue_depth == 0
        if usage.pool is not None:
            assert 0 < usage.pool.idle == usage.pool.size <= usage.pool.limit
        await backend.close()
        assert backend.usage().pool is None

    async def test_the_health_check_does_not_raise(self, backend: Backend) -> None:
        """A closed store's neither."""
        await backend.close()
        assert isinstance(await backend.health_check(), Health)
