"""A process goes on in another store: nothing is sent again, no timer is lost."""

from pathlib import Path

from tests.unit.application.moved import exported
from tests.unit.application.reminding import Clock, World
from tests.unit.domain.reminder import PATIENCE, Reminded

from hitherto import connect
from hitherto.application.moving import copy_timers, import_file


async def test_a_process_goes_on_where_it_was_moved_to(tmp_path: Path) -> None:
    """It does there what it would have done where it was."""
    clock, path = Clock(), tmp_path / "log.jsonl"
    async with (
        connect("memory:", clock=clock) as store,
        connect(f"sqlite:///{tmp_path}/new.db", clock=clock) as other,
    ):
        old, new = World(store, clock), World(other, clock)
        await old.place("order-1")
        clock.now += PATIENCE
        await old.place("order-2")
        await old.catch_up()
        await exported(store.backend, path)
        await import_file(other, path)
        assert await copy_timers(store.backend, other.backend, "Reminder") == 2
        await new.catch_up(after=await other.watermark())
        assert await new.told("order-1") == await old.told("order-1")
        for world in (old, new):
            await world.place("order-3")
        clock.now += PATIENCE
        for world in (old, new):
            await world.catch_up()
        for order in ("order-1", "order-2", "order-3"):
            assert Reminded(number=1) in await new.told(order)
            assert await new.told(order) == await old.told(order)


async def test_many_timers_are_copied(tmp_path: Path) -> None:
    """Doing it again changes nothing."""
    clock = Clock()
    async with (
        connect("memory:", clock=clock) as store,
        connect(f"sqlite:///{tmp_path}/new.db") as other,
    ):
        world = World(store, clock)
        for number in range(1001):
            await world.place(f"order-{number}")
        await world.catch_up()
        for _ in range(2):
            assert await copy_timers(store.backend, other.backend, "Reminder") == 1001
        assert await copy_timers(other.backend, store.backend, "Reminder") == 1001
