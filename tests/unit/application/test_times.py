"""Times of storing, and where in the log they are."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from hitherto import InvalidInput
from hitherto.application.records import StoredEvent
from hitherto.application.times import MARGIN, moment_of, position_before, position_told
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.store_contract.making import append_to, whole_log

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


async def stored_at(*moments: datetime) -> MemoryStore:
    """A store whose events were stored at these moments."""
    backend = MemoryStore()
    await backend.append([append_to("a", len(moments))])
    backend._log[:] = [
        msgspec.structs.replace(event, stored_at=moment)
        for event, moment in zip(backend._log, moments, strict=True)
    ]
    return backend


def minutes(*numbers: float) -> list[datetime]:
    return [NOON + timedelta(minutes=number) for number in numbers]


@pytest.mark.parametrize(
    ("moment", "position"), [(-1, 0), (0, 1), (9, 1), (10, 3), (29, 3), (30, 4), (99, 5)]
)
async def test_it_is_the_last_event_that_was_stored_up_to_the_moment(
    moment: float, position: int
) -> None:
    """The moment itself included; 0 if there is none."""
    backend = await stored_at(*minutes(0, 10, 10, 30, 70))
    assert await position_before(backend, minutes(moment)[0]) == position


async def test_an_empty_store_has_no_position() -> None:
    """Nor is it an error."""
    assert await position_before(MemoryStore(), NOON) == 0


async def test_a_transaction_that_was_open_for_long_hides_nothing() -> None:
    """Its events have the time of its beginning, behind later ones."""
    backend = await stored_at(*minutes(0, 3, 4, 1, 4.5, 2, 9))
    assert await position_before(backend, minutes(2)[0]) == 6
    assert await position_before(backend, minutes(1)[0]) == 4
    assert await position_before(backend, minutes(0.5)[0]) == 1


async def test_it_agrees_with_a_look_at_each_event() -> None:
    """Through any log whose transactions are open for less than the margin."""
    chance = random.Random(7)
    for _ in range(60):
        drawn = sorted(chance.uniform(0, 60) for _ in range(chance.randrange(1, 80)))
        backend = await stored_at(*minutes(*(each - chance.uniform(0, 4.9) for each in drawn)))
        log = await whole_log(backend)
        for moment in minutes(*(chance.uniform(-6, 62) for _ in range(10))):
            assert await position_before(backend, moment) == _found(log, moment)
            beginning = await position_before(backend, moment - MARGIN)
            assert all(event.stored_at <= moment for event in log[:beginning])


def _found(log: list[StoredEvent], moment: datetime) -> int:
    return max((each.position for each in log if each.stored_at <= moment), default=0)


async def test_a_long_log_is_not_read_whole() -> None:
    """It is bisected, but for the margin."""
    probe = Probe(await stored_at(*minutes(*range(3000))))
    assert await position_before(probe, minutes(1500)[0]) == 1501
    assert probe.calls.count("read_all") < 30


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
async def test_the_first_and_the_last_moment_of_all_are_moments(moment: datetime) -> None:
    """A margin around them leads nowhere beyond."""
    backend = await stored_at(*minutes(1, 2))
    found = await position_before(backend, moment.replace(tzinfo=UTC))
    assert found == (0 if moment == datetime.min else 2)


async def test_a_moment_needs_a_zone() -> None:
    """Else it is refused."""
    with pytest.raises(InvalidInput, match="no time zone"):
        await position_before(MemoryStore(), datetime(2024, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["2024-02-29T12:00:00Z", "2024-02-29T14:00+02:00", "20240229T120000Z"]
)
def test_a_text_tells_a_moment(text: str) -> None:
    """In ISO 8601, with a zone."""
    assert moment_of(text) == NOON
    assert moment_of(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "noon", "2024-02-29", "2024-02-30T12:00Z", "2024-02-29T12"])
def test_a_text_that_tells_none_is_refused(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(InvalidInput, match="2025-03-01T12:30:00Z"):
        moment_of(text)


async def test_a_text_tells_a_position_or_a_time() -> None:
    """Digits are a position, whether there is an event or not."""
    backend = await stored_at(*minutes(0, 10, 20))
    assert await position_told(backend, "17") == 17
    assert await position_told(backend, "2024-02-29T12:15Z") == 2
    for text in ("-1", "1.5", "²", "noon"):
        with pytest.raises(InvalidInput, match="not a position"):
            await position_told(backend, text)
