"""Writes that meet locks take turns."""

import asyncio

import pytest

from hitherto import AggregateLocked
from hitherto.infrastructure.postgres import turns
from hitherto.infrastructure.postgres.turns import Turns


class Write:
    """Meets a lock as often as it is told to, and notes how many are done again at once."""

    again = most = 0

    def __init__(self, locked: int) -> None:
        self.calls = 0
        self._locked = locked

    async def __call__(self) -> str:
        self.calls += 1
        cls = type(self)
        again = self.calls > 1
        cls.again += again
        cls.most = max(cls.most, cls.again)
        await asyncio.sleep(0)
        cls.again -= again
        if self.calls <= self._locked:
            raise AggregateLocked("held")
        return "written"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Write, "most", 0)


async def test_those_that_met_a_lock_are_done_again_one_at_a_time() -> None:
    """Nobody else waits for them."""
    together, writes = Turns(), [Write(4), Write(1), Write(0), Write(3)]
    found = await asyncio.gather(*map(together.do, writes))
    assert found == ["written"] * 4
    assert [each.calls for each in writes] == [5, 2, 1, 4]
    assert Write.most == 1


async def test_what_is_always_locked_is_given_up() -> None:
    """And the next one has its turn."""
    together, write = Turns(), Write(9)
    with pytest.raises(AggregateLocked, match="held"):
        await together.do(write)
    assert write.calls == 5
    assert await together.do(Write(1)) == "written"


async def test_what_was_locked_for_long_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else its caller's deadline would end it, with nothing told."""
    monkeypatch.setattr(turns, "_PATIENCE", -1.0)
    write = Write(1)
    with pytest.raises(AggregateLocked):
        await Turns().do(write)
    assert write.calls == 1


def test_a_store_may_be_used_under_another_event_loop() -> None:
    """As when it is opened again."""
    together = Turns()

    async def both() -> None:
        await asyncio.gather(together.do(Write(1)), together.do(Write(1)))

    for _ in range(2):
        asyncio.run(both())
