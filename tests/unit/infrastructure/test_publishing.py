"""A guarded publisher: when it fails fast, and when it tries again."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from tests.messages import World, a_message

from hitherto import InvalidInput
from hitherto.application.relay import Message
from hitherto.errors import MessageRefused, PublisherUnavailable
from hitherto.infrastructure.publishing import Guarded


async def fail(publisher: Guarded, times: int) -> None:
    for _ in range(times):
        with pytest.raises(PublisherUnavailable):
            await publisher.publish([a_message()])


async def test_after_some_failures_in_a_row_the_broker_is_left_alone() -> None:
    """A broker that comes back is not met by all that has waited."""
    world = World()
    world.out = True
    guarded = Guarded(world, threshold=3, cooldown=60)
    await fail(guarded, 3)
    assert guarded.breaker == "open"
    with pytest.raises(PublisherUnavailable, match="circuit breaker") as refused:
        await guarded.publish([a_message()])
    assert refused.value.retry_after is not None
    assert 50 < refused.value.retry_after <= 60
    assert world.asked == 3


async def test_after_the_cooldown_a_batch_that_is_taken_closes_the_breaker() -> None:
    """It goes on by itself."""
    world = World()
    world.out = True
    guarded = Guarded(world, threshold=1, cooldown=0)
    await fail(guarded, 1)
    world.out = False
    states = [guarded.breaker]
    await guarded.publish([a_message()])
    states.append(guarded.breaker)
    assert states == ["half-open", "closed"]
    assert len(world.taken) == 1


async def test_a_refusal_is_an_answer() -> None:
    """The broker is there, though it does not take this message."""
    world = World()
    guarded = Guarded(world, threshold=2, cooldown=60)
    world.out = True
    await fail(guarded, 1)
    world.out, world.refused = False, {"order-1"}
    with pytest.raises(MessageRefused):
        await guarded.publish([a_message()])
    world.out = True
    await fail(guarded, 1)
    assert guarded.breaker == "closed"


class Silent:
    """Never answers; knows whether it was told to stop."""

    stopped = False

    async def publish(self, messages: Sequence[Message]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True


async def test_a_broker_that_does_not_answer_is_taken_for_one_that_is_out() -> None:
    """A relay that waited forever could not be told from one that has nothing to do."""
    silent = Silent()
    guarded = Guarded(silent, timeout=0.01, threshold=1, cooldown=60)
    with pytest.raises(PublisherUnavailable, match=r"1 messages were not taken within 0\.01 s"):
        await guarded.publish([a_message()])
    assert silent.stopped
    assert guarded.breaker == "open"


async def test_a_caller_that_gives_up_says_nothing_about_the_broker() -> None:
    """A worker that is stopped is no failure."""
    silent = Silent()
    guarded = Guarded(silent, threshold=1, cooldown=60)
    publishing = asyncio.create_task(guarded.publish([a_message()]))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert silent.stopped
    assert guarded.breaker == "closed"


async def test_the_states_of_the_breaker_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Who looks for the reason of a lag finds it."""
    world = World()
    world.out = True
    guarded = Guarded(world, threshold=1, cooldown=0)
    with caplog.at_level(logging.INFO, logger="hitherto"):
        await fail(guarded, 1)
        world.out = False
        await guarded.publish([a_message()])
    assert [(record.levelname, record.msg % record.args) for record in caplog.records] == [
        ("WARNING", "publisher_breaker_open failures=1 retry_after=0.0"),
        ("INFO", "publisher_breaker_half_open failures=1 retry_after=0.0"),
        ("INFO", "publisher_breaker_closed failures=0 retry_after=0.0"),
    ]


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"threshold": 0}, {"cooldown": -1}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """When it is made."""
    with pytest.raises(InvalidInput, match="give"):
        Guarded(World(), **settings)
