"""What an append writes besides events: `alongside`, `handled`, `forget_handled`, `due_timers`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.ports import Backend
from hitherto.application.records import Append, StoredEvent
from hitherto.errors import (
    AggregateIDMismatch,
    AggregateVersionConflict,
    AlreadyHandled,
    HandlerFailed,
    InvalidInput,
)
from hitherto.testing.store_contract.making import (
    NOON,
    append_to,
    new_event,
    versions,
    whole_log,
)

_LATER = NOON + timedelta(days=60)


class AlongsideContract:
    """It is committed with the events, or not at all, and once."""

    async def test_everything_is_written_together(self, backend: Backend) -> None:
        """The events as ever; the effects see them as a read would give them."""
        effects = Effects()
        group = [append_to("b", 2), append_to("a", 1)]
        positions = await backend.append(group, alongside=_alongside(effects=effects))
        log = await whole_log(backend)
        assert positions == (
            max(each.position for each in log if each.aggregate_id == "b"),
            max(each.position for each in log if each.aggregate_id == "a"),
        )
        assert effects.calls == [log]
        assert await _marks(backend) == {"m1", "m2"}
        assert await _due(backend) == [("a", "reminder", NOON)]

    async def test_nothing_need_be_appended(self, backend: Backend) -> None:
        """Messages can be handled without an event; effects get none."""
        effects = Effects()
        assert await backend.append([], alongside=_alongside(effects=effects)) == ()
        assert effects.calls == [[]]
        assert await _marks(backend) == {"m1", "m2"}
        assert await whole_log(backend) == []

    async def test_without_anything_alongside_nothing_is_no_append(self, backend: Backend) -> None:
        """As ever."""
        with pytest.raises(InvalidInput):
            await backend.append([])

    @pytest.mark.parametrize("appended", [True, False])
    async def test_a_message_is_handled_once(self, backend: Backend, appended: bool) -> None:
        """Of the second append nothing is written, though its other messages are new."""
        await backend.append([append_to("a")], alongside=_alongside())
        before = await whole_log(backend)
        effects = Effects()
        again = Alongside(
            scope="orders",
            handled=["m3", "m2"],
            timers=[Timer(process="orders", aggregate_id="b", name="other", due=NOON)],
            effects=effects,
        )
        with pytest.raises(AlreadyHandled, match="m2"):
            await backend.append([append_to("b")] if appended else [], alongside=again)
        assert await whole_log(backend) == before
        assert await _marks(backend) == {"m1", "m2"}
        assert await _due(backend) == [("a", "reminder", NOON)]

    async def test_scopes_are_apart(self, backend: Backend) -> None:
        """Each handles the same message for itself."""
        for scope in ("orders", "payments"):
            marks = Alongside(scope=scope, handled=["m1"])
            await backend.append([append_to(scope)], alongside=marks)
        assert set(await backend.handled("payments", ["m1", "m2"])) == {"m1"}
        assert set(await backend.handled("others", ["m1"])) == set()
        assert set(await backend.handled("orders", [])) == set()

    async def test_of_many_that_handle_a_message_at_once_one_does(self, backend: Backend) -> None:
        """Each of the others is told, and writes nothing."""
        marks = Alongside(scope="orders", handled=["m1"])
        results = await asyncio.gather(
            *(backend.append([append_to(f"a{n}")], alongside=marks) for n in range(10)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, AlreadyHandled) for each in results) == 9
        assert len(await whole_log(backend)) == 1

    async def test_a_repeated_append_has_written_it(self, backend: Backend) -> None:
        """Its answer was lost: the same positions are given, and nothing is done again."""
        group = [append_to("a", 2), append_to("b")]
        positions = await backend.append(group, alongside=_alongside())
        await backend.append([append_to("b", after=1)])
        effects = Effects()
        assert await backend.append(group, alongside=_alongside(effects=effects)) == positions
        assert effects.calls == []
        assert len(await whole_log(backend)) == 4

    async def test_a_repeat_without_events_tells_that_it_is_one(self, backend: Backend) -> None:
        """There is no event by which it could be known."""
        await backend.append([], alongside=_alongside())
        with pytest.raises(AlreadyHandled):
            await backend.append([], alongside=_alongside())

    async def test_of_what_stands_effects_are_told_once(self, backend: Backend) -> None:
        """The answer to an append was lost; what it wrote is sent again, with more."""
        first, other = append_to("b", 2), append_to("c")
        effects = Effects()
        for append in (first, other):
            await backend.append([append], alongside=Alongside(effects=effects))
        more = new_event()
        longer = append_to("b", [*first.events, more])
        await backend.append([append_to("a"), other, longer], alongside=_alongside(effects=effects))
        assert [each for call in effects.calls for each in call] == await whole_log(backend)
        assert [len(call) for call in effects.calls] == [2, 1, 2]
        assert await _marks(backend) == {"m1", "m2"}

    async def test_of_what_loses_nothing_is_written(self, backend: Backend) -> None:
        """A conflict, another type or a foreign event id: the error is the same as ever."""
        taken = new_event()
        await backend.append([append_to("a", [taken])])
        before = await whole_log(backend)
        effects = Effects()
        losers: list[tuple[Append, type[Exception]]] = [
            (append_to("a"), AggregateVersionConflict),
            (append_to("a", after=1, type="Other"), AggregateIDMismatch),
            (append_to("c", [taken]), InvalidInput),
        ]
        for append, error in losers:
            group = [append_to("b"), append]
            with pytest.raises(error):
                await backend.append(group, alongside=_alongside(effects=effects))
        assert effects.calls == []
        assert await whole_log(backend) == before
        assert await _marks(backend) == set()
        assert await _due(backend) == []

    async def test_of_effects_that_fail_nothing_is_written(self, backend: Backend) -> None:
        """The error leads to what was raised; the same append can be tried again."""
        error = ZeroDivisionError("effects")
        append = append_to("a")
        failing = _alongside(effects=Effects(error))
        with pytest.raises(HandlerFailed, match="ZeroDivisionError: effects") as caught:
            await backend.append([append], alongside=failing)
        assert caught.value.__cause__ is error
        assert await whole_log(backend) == []
        assert await _marks(backend) == set()
        assert await _due(backend) == []
        effects = Effects()
        await backend.append([append], alongside=_alongside(effects=effects))
        assert effects.calls == [await whole_log(backend)]

    async def test_others_append_meanwhile(self, backend: Backend) -> None:
        """Each event is given to the effects of its own append, and its position is its own."""
        effects = [Effects() for _ in range(20)]
        await asyncio.gather(
            *(
                backend.append(
                    [append_to(f"a{n}", 2)],
                    alongside=Alongside(scope="s", handled=[f"m{n}"], effects=each),
                )
                for n, each in enumerate(effects)
            ),
            *(backend.append([append_to(f"b{n}", 2)]) for n in range(20)),
        )
        for n, each in enumerate(effects):
            assert each.calls == [await backend.read(f"a{n}")]
        assert len(await whole_log(backend)) == 80

    async def test_marks_are_forgotten_by_their_age(self, backend: Backend) -> None:
        """Only those of the scope, and only older ones."""
        await backend.append([append_to("a")], alongside=_alongside())
        other = Alongside(scope="payments", handled=["m1"])
        await backend.append([append_to("b")], alongside=other)
        (stored,) = await backend.read("a")
        hour = timedelta(hours=1)
        assert await backend.forget_handled("orders", before=stored.stored_at - hour) == 0
        assert await _marks(backend) == {"m1", "m2"}
        assert await backend.forget_handled("orders", before=stored.stored_at + hour) == 2
        assert await _marks(backend) == set()
        assert set(await backend.handled("payments", ["m1"])) == {"m1"}
        await backend.append([append_to("c")], alongside=_alongside())

    async def test_very_many_marks_are_forgotten_bit_by_bit(self, backend: Backend) -> None:
        """Nobody waits for long; who asks again until it is 0 has dropped all."""
        marks = Alongside(scope="orders", handled=[f"m{n}" for n in range(12_000)])
        await backend.append([append_to("a")], alongside=marks)
        later = (await backend.read("a"))[0].stored_at + timedelta(hours=1)
        dropped = [await backend.forget_handled("orders", before=later) for _ in range(3)]
        assert dropped == [10_000, 2_000, 0]


class TimerContract:
    """Timers outlive restarts, and are given when they are due."""

    async def test_timers_are_due_in_order(self, backend: Backend) -> None:
        """The earliest first, then by aggregate and name; not before their time."""
        minute = timedelta(minutes=1)
        await _set(backend, ("b", "y", NOON), ("b", "x", NOON), ("a", "z", NOON))
        await _set(backend, ("c", "first", NOON - minute), ("a", "late", NOON + minute))
        expected = [
            ("c", "first", NOON - minute),
            ("a", "z", NOON),
            ("b", "x", NOON),
            ("b", "y", NOON),
        ]
        assert await _due(backend, NOON) == expected
        assert await _due(backend, NOON - timedelta(microseconds=1)) == expected[:1]
        assert await _due(backend, NOON, limit=2) == expected[:2]
        assert await _due(backend, NOON + minute) == [*expected, ("a", "late", NOON + minute)]

    async def test_a_timer_that_is_set_again_is_replaced(self, backend: Backend) -> None:
        """Later or earlier."""
        await _set(backend, ("a", "reminder", NOON))
        await _set(backend, ("a", "reminder", _LATER))
        assert await _due(backend, NOON) == []
        assert await _due(backend, _LATER) == [("a", "reminder", _LATER)]
        await _set(backend, ("a", "reminder", NOON - timedelta(days=1)))
        assert len(await _due(backend, NOON)) == 1

    async def test_a_timer_can_be_cancelled(self, backend: Backend) -> None:
        """One that is not set, too."""
        await _set(backend, ("a", "reminder", NOON), ("a", "other", NOON))
        await _set(backend, ("a", "reminder", None), ("b", "reminder", None))
        assert await _due(backend) == [("a", "other", NOON)]

    async def test_a_timer_fires_once(self, backend: Backend) -> None:
        """Whoever is the second to answer it has lost, with all that it wrote."""
        timer = Timer(process="p", aggregate_id="a", name="t", due=NOON)
        await backend.append([], alongside=Alongside(timers=[timer]))
        answer = [append_to("a", 1)]
        await backend.append(answer, alongside=Alongside(fired=[timer]))
        with pytest.raises(AlreadyHandled, match="'t'"):
            await backend.append([append_to("b", 1)], alongside=Alongside(fired=[timer]))
        assert await versions(backend, "b") == []
        assert await backend.due_timers("p", until=_LATER, limit=9) == []
        assert await backend.append(answer, alongside=Alongside(fired=[timer]))  # a repeat

    async def test_a_timer_that_was_set_anew_does_not_fire(self, backend: Backend) -> None:
        """It stands for another moment now, and goes on standing."""
        timer = Timer(process="p", aggregate_id="a", name="t", due=NOON)
        anew = Timer(process="p", aggregate_id="a", name="t", due=_LATER)
        await backend.append([], alongside=Alongside(timers=[timer]))
        await backend.append([], alongside=Alongside(timers=[anew]))
        with pytest.raises(AlreadyHandled):
            await backend.append([], alongside=Alongside(fired=[timer]))
        assert await backend.due_timers("p", until=_LATER, limit=9) == [anew]

    async def test_a_timer_that_fires_can_be_set_again(self, backend: Backend) -> None:
        """By its own answer, to the same moment even."""
        timer = Timer(process="p", aggregate_id="a", name="t", due=NOON)
        await backend.append([], alongside=Alongside(timers=[timer]))
        await backend.append([], alongside=Alongside(fired=[timer], timers=[timer]))
        assert await backend.due_timers("p", until=_LATER, limit=9) == [timer]

    async def test_of_two_for_one_timer_the_last_counts(self, backend: Backend) -> None:
        """In the order in which they are given."""
        await _set(backend, ("a", "reminder", NOON), ("a", "reminder", None))
        assert await _due(backend) == []
        await _set(backend, ("a", "reminder", None), ("a", "reminder", NOON))
        assert await _due(backend) == [("a", "reminder", NOON)]

    async def test_all_of_a_process_can_be_asked_for(self, backend: Backend) -> None:
        """Until the end of time."""
        await _set(backend, ("a", "reminder", NOON), ("b", "reminder", _LATER))
        found = await _due(backend, datetime.max.replace(tzinfo=UTC), limit=10**9)
        assert found == [("a", "reminder", NOON), ("b", "reminder", _LATER)]

    async def test_processes_are_apart(self, backend: Backend) -> None:
        """Each has its own timers."""
        for process, due in (("orders", NOON), ("payments", _LATER)):
            timer = Timer(process=process, aggregate_id="a", name="reminder", due=due)
            await backend.append([], alongside=Alongside(timers=[timer]))
        (found,) = await backend.due_timers("orders", until=_LATER, limit=9)
        assert found == Timer(process="orders", aggregate_id="a", name="reminder", due=NOON)
        assert not await backend.due_timers("payments", until=NOON, limit=9)

    async def test_times_may_be_given_in_any_zone(self, backend: Backend) -> None:
        """It is the moment that counts, to the microsecond."""
        zone = timezone(timedelta(hours=-9, minutes=-30))
        await _set(backend, ("a", "reminder", NOON.astimezone(zone)))
        just_before = NOON - timedelta(microseconds=1)
        assert await _due(backend, just_before.astimezone(zone)) == []
        ((_, _, due),) = await _due(backend, NOON.astimezone(zone))
        assert due is not None
        assert due == NOON
        assert due.utcoffset() == timedelta()  # A day later is what it is in UTC.

    async def test_timers_and_marks_outlive_a_restart(self, backend: Backend) -> None:
        """They are stored, as events are."""
        await backend.append([append_to("a")], alongside=_alongside())
        await backend.close()
        await backend.open()
        assert await _due(backend) == [("a", "reminder", NOON)]
        assert await _marks(backend) == {"m1", "m2"}
        assert await versions(backend, "a") == [1]


class Effects:
    """Effects that note what they are given; they raise if they are told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[list[StoredEvent]] = []
        self.error = error

    def __call__(self, events: Sequence[StoredEvent], _connection: Any) -> None:
        self.calls.append(list(events))
        if self.error is not None:
            raise self.error


def _alongside(effects: Effects | None = None) -> Alongside:
    """Two messages of one scope, a timer, and perhaps effects."""
    timer = Timer(process="orders", aggregate_id="a", name="reminder", due=NOON)
    return Alongside(scope="orders", handled=["m1", "m2"], timers=[timer], effects=effects)


async def _set(backend: Backend, *timers: tuple[str, str, datetime | None]) -> None:
    made = [
        Timer(process="orders", aggregate_id=aggregate_id, name=name, due=due)
        for aggregate_id, name, due in timers
    ]
    await backend.append([], alongside=Alongside(timers=made))


async def _due(
    backend: Backend, until: datetime = _LATER, *, limit: int = 99
) -> list[tuple[str, str, datetime | None]]:
    found = await backend.due_timers("orders", until=until, limit=limit)
    assert all(each.process == "orders" for each in found)
    return [(each.aggregate_id, each.name, each.due) for each in found]


async def _marks(backend: Backend) -> set[str]:
    return set(await backend.handled("orders", ["m1", "m2", "m3"]))
