"""Aggregates that were archived: to readers and writers they are as they were."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from hitherto.application.alongside import Alongside
from hitherto.application.ports import Backend
from hitherto.application.records import Append, StoredEvent
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.infrastructure.chaining import Chained
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    placed,
    snapshot_of,
    versions,
    whole_log,
)
from hitherto.testing.store_contract.whole_reads import chains, log_of, looked_at, reads

LONG = 600  # more events than are appended in one statement, or in one batch of rows


class ArchiveContract:
    """`Backend.archive`."""

    async def test_all_events_but_the_last_are_moved(self, backend: Backend) -> None:
        """It tells of how many; those of one event have none to move."""
        await _fill(backend)
        assert await backend.archive.archive({"a": 5, "b": 1, "nobody": 1}) == {"a": 4}
        assert await backend.archive.archive({"a": 5}) == {}
        assert await backend.archive.archive({}) == {}
        assert await backend.archive.archived(["c", "b", "a", "nobody"]) == {"a": 4}

    async def test_one_that_has_gone_on_is_left_alone(self, backend: Backend) -> None:
        """It is no longer what was found closed."""
        await _fill(backend)
        assert await backend.archive.archive({"a": 4, "c": 4}) == {"c": 3}
        assert await backend.archive.archived(["a", "c"]) == {"c": 3}

    async def test_what_is_read_of_an_aggregate_stays_the_same(self, backend: Backend) -> None:
        """Whatever part of it, in either direction, by itself or with others."""
        await _fill(backend)
        before = [await each for each in reads(backend)]
        await backend.archive.archive({"a": 5, "c": 4})
        assert [await each for each in reads(backend)] == before
        await backend.append([append_to("a", 3, after=5)])
        assert await versions(backend, "a") == [*range(1, 9)]
        before = [await each for each in reads(backend)]
        await backend.archive.archive({"a": 8})
        assert [await each for each in reads(backend)] == before
        await backend.archive.restore(["a", "c"])
        assert [await each for each in reads(backend)] == before

    @pytest.mark.parametrize("version", [1, 3, 4, 5])
    async def test_a_snapshot_is_loaded_with_the_events_after_it(
        self, backend: Backend, version: int
    ) -> None:
        """Though these, or some of them, were archived; in time travel too."""
        await _fill(backend)
        await backend.save_snapshot(snapshot_of("a", version))
        before = [await each for each in reads(backend)]
        await backend.archive.archive({"a": 5})
        assert [await each for each in reads(backend)] == before

    async def test_the_log_stays_the_same(self, backend: Backend) -> None:
        """In pages of any size, filtered or not, and ids too."""
        await _fill(backend)
        before = await log_of(backend)
        await backend.archive.archive({"a": 5, "c": 4, "d": 2})
        assert await log_of(backend) == before
        await backend.archive.restore(["c"])
        assert await log_of(backend) == before

    async def test_what_people_look_at_stays_the_same(self, backend: Backend) -> None:
        """Events found and counted, texts, and nothing is damaged."""
        await _fill(backend)
        await backend.save_snapshot(snapshot_of("a", 3))
        before = await looked_at(backend)
        await backend.archive.archive({"a": 5, "c": 4, "d": 2})
        assert await looked_at(backend) == before
        await backend.archive.restore(["a"])
        assert await looked_at(backend) == before
        assert await backend.inspect() == ()

    @pytest.mark.parametrize("together", [False, True])
    @pytest.mark.parametrize("events", [1, 3, LONG])
    @pytest.mark.parametrize("after", [0, 1, 3, 4, 6])
    async def test_an_append_that_expects_another_version_loses(
        self, backend: Backend, *, after: int, events: int, together: bool
    ) -> None:
        """By itself or with others, though the version after the expected one is in the archive."""
        await _fill(backend)
        await backend.archive.archive({"a": 5})
        appends = [append_to("a", events, after=after)] + [append_to("new")] * together
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.append(appends)
        assert (caught.value.aggregate_id, caught.value.actual) == ("a", 5)
        assert await versions(backend, "a") == [1, 2, 3, 4, 5]
        assert await versions(backend, "new") == []

    async def test_appends_at_once_lose_or_win_as_they_would(self, backend: Backend) -> None:
        """In a batch, that is."""
        ids = [f"x-{number}" for number in range(30)]
        await backend.append([append_to(each, 3) for each in ids])
        await backend.archive.archive(dict.fromkeys(ids, 3))
        appends = [append_to(each, after=number % 4) for number, each in enumerate(ids)]
        results = await asyncio.gather(
            *(backend.append([each]) for each in appends), return_exceptions=True
        )
        won = [not isinstance(each, BaseException) for each in results]
        assert won == [number % 4 == 3 for number in range(30)]
        for each, has_won in zip(ids, won, strict=True):
            assert await versions(backend, each) == [1, 2, 3, 4][: 3 + has_won]

    @pytest.mark.parametrize("events", [1, 3, LONG])
    async def test_an_archived_aggregate_goes_on(self, backend: Backend, events: int) -> None:
        """And may be archived again."""
        await _fill(backend)
        await backend.archive.archive({"a": 5})
        (position,) = await backend.append([append_to("a", events, after=5)])
        assert await backend.watermark() == position
        assert await versions(backend, "a") == [*range(1, events + 6)]
        assert await backend.archive.archive({"a": events + 5}) == {"a": events}
        assert await versions(backend, "a") == [*range(1, events + 6)]
        assert await backend.inspect() == ()

    async def test_the_type_stays_taken(self, backend: Backend) -> None:
        """For appends and for imports."""
        await _fill(backend)
        await backend.archive.archive({"a": 5})
        for after in (0, 5):
            with pytest.raises(AggregateIDMismatch):
                await backend.append([append_to("a", after=after, type="Other")])
        with pytest.raises(AggregateIDMismatch):
            await backend.import_events([placed("a", 6, type="Other")])

    @pytest.mark.parametrize("events", [1, 4, LONG])
    async def test_an_append_that_stands_in_the_archive_is_repeated(
        self, backend: Backend, events: int
    ) -> None:
        """Whoever has lost its answer is told that it was written."""
        first, second = append_to("a", events), append_to("a", 2, after=events)
        other = append_to("b", 3)
        (position,) = await backend.append([first])
        (last,) = await backend.append([second])
        (beside,) = await backend.append([other], alongside=Alongside(scope="s", handled=["m"]))
        await backend.archive.archive({"a": events + 2, "b": 3})
        assert await backend.append([first]) == (position,)
        assert await backend.append([second]) == (last,)
        assert await backend.append([second, other]) == (last, beside)
        *others, again_at_once = await asyncio.gather(
            *(backend.append([append_to(f"at-once-{number}")]) for number in range(10)),
            backend.append([second]),
        )
        assert again_at_once == (last,)
        assert len(set(others)) == 10
        again = Alongside(scope="s", handled=["m"])
        assert await backend.append([other], alongside=again) == (beside,)
        longer = msgspec.structs.replace(other, events=(*other.events, new_event()))
        await backend.append([longer])
        assert await versions(backend, "b") == [1, 2, 3, 4]
        assert len(await whole_log(backend)) == events + 16

    @pytest.mark.parametrize("count", [1, 3, LONG])
    async def test_an_event_id_in_the_archive_stays_taken(
        self, backend: Backend, count: int
    ) -> None:
        """By whatever way another event comes with it."""
        await _fill(backend)
        taken = (await backend.read("a"))[1].event_id
        await backend.archive.archive({"a": 5})
        events = [new_event() for _ in range(count - 1)] + [new_event(event_id=taken)]
        before = await whole_log(backend)
        for appends in ([append_to("n", events)], [append_to("n", events), append_to("m")]):
            with pytest.raises(InvalidInput, match=str(taken)):
                await backend.append(appends)
        results = await asyncio.gather(
            *(backend.append([append_to(f"at-once-{n}")]) for n in range(10)),
            backend.append([append_to("n", events)]),
            return_exceptions=True,
        )
        assert [type(each) for each in results] == [tuple] * 10 + [InvalidInput]
        history = [msgspec.structs.replace(placed("n", 1), event_id=taken)]
        with pytest.raises(InvalidInput, match=str(taken)):
            await backend.import_events(history)
        assert (await whole_log(backend))[: len(before)] == before
        assert await versions(backend, "n") == []

    async def test_an_import_knows_what_stands_in_the_archive(self, backend: Backend) -> None:
        """It skips that, goes on after it, and refuses another history."""
        told = [placed("a", version) for version in range(1, 5)]
        await backend.import_events(told[:3])
        await backend.archive.archive({"a": 3})
        assert await backend.import_events(told) == 1
        assert await backend.import_events(told) == 0
        await backend.archive.archive({"a": 4})
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.import_events([told[0], placed("a", 2)])
        assert (caught.value.expected, caught.value.actual) == (1, 4)
        assert await versions(backend, "a") == [1, 2, 3, 4]

    async def test_restored_events_are_as_they_were(self, backend: Backend) -> None:
        """It tells of how many, and the aggregate may be archived again."""
        await _fill(backend)
        before = await log_of(backend)
        await backend.archive.archive({"a": 5, "c": 4})
        assert await backend.archive.restore(["a", "b", "nobody"]) == {"a": 4}
        assert await backend.archive.restore(["a"]) == {}
        assert await backend.archive.archived(["a", "c"]) == {"c": 3}
        assert await log_of(backend) == before
        await backend.append([append_to("a", after=5)])
        assert await backend.archive.archive({"a": 6}) == {"a": 5}
        assert await backend.inspect() == ()

    async def test_chains_stay_whole(self, backend: Backend) -> None:
        """Links and heads are told as before, and what is appended is chained to them."""
        chained = Chained(backend)
        await chained.append([append_to("a", 3)])
        await backend.append([append_to("b", 2)])
        await chained.append([append_to("a", 2, after=3), append_to("c", 3)])
        before = await chains(backend)
        await backend.archive.archive({"a": 5, "b": 2, "c": 3})
        assert await chains(backend) == before
        await chained.append([append_to("a", after=5)])
        heads = await chains(backend)
        await backend.archive.restore(["a", "b"])
        assert await chains(backend) == heads
        await backend.archive.archive({"a": 6})
        assert await chains(backend) == heads
        *_, before_last, last = await backend.read("a")
        links = {link.event.position: link for link in await backend.chain.links()}
        assert links[last.position].event_hash is not None
        assert links[before_last.position].event_hash is not None

    async def test_nobody_notices_while_events_move(self, backend: Backend) -> None:
        """Readers are given each event once, in order, and writers win and lose as ever."""
        ids = [f"m-{number}" for number in range(8)]
        await backend.append([append_to(each, 6) for each in ids])
        before = await whole_log(backend)
        ended = asyncio.Event()
        seen = await asyncio.gather(
            _moving(backend, ids, ended),
            _reading(backend, ended),
            _reading(backend, ended, event_types=["Happened"]),
            _reading(backend, ended, aggregate_types=["Thing"]),
            *(_working(backend, each, ended) for each in ids[:3]),
        )
        for log in seen[1:4]:
            assert log[: len(before)] == before
        log = await whole_log(backend)
        for each in ids:
            own = [event.version for event in log if event.aggregate_id == each]
            assert own == [*range(1, len(own) + 1)]
        assert await backend.inspect() == ()


async def _fill(backend: Backend) -> None:
    """Aggregates a … d, whose events are mixed."""
    await backend.append([append_to("a", 2), append_to("b"), append_to("c", 3)])
    await backend.append([append_to("d", 2, type="Other")])
    await backend.append([append_to("a", [new_event({"n": 3}, type="Rare")], after=2)])
    await backend.append([append_to("c", after=3), append_to("a", 2, after=3)])


async def _moving(backend: Backend, ids: Sequence[str], ended: asyncio.Event) -> list[StoredEvent]:
    try:
        for _ in range(6):
            for half in (ids[::2], ids[1::2]):
                heads = {each: (await backend.read(each))[-1].version for each in half}
                await backend.archive.archive(heads)
            await backend.archive.restore(ids)
    finally:
        ended.set()
    return []


async def _reading(backend: Backend, ended: asyncio.Event, **filters: Any) -> Sequence[StoredEvent]:
    """The log, read again and again; each time it has all that it had before."""
    last: list[StoredEvent] = []
    while not ended.is_set():
        log = await whole_log(backend, page=7, **filters)
        assert log[: len(last)] == last
        last = log
        await asyncio.sleep(0)
    return await whole_log(backend, **filters)


async def _working(backend: Backend, id: str, ended: asyncio.Event) -> list[StoredEvent]:
    """Goes on with an aggregate, and tries what has to lose."""
    while not ended.is_set():
        stream = await backend.load(id, fingerprint=None)
        found = [row[0] for row in stream.events]
        assert found == [*range(1, len(found) + 1)]
        await backend.append([append_to(id, 2, after=len(found))])
        wrong: Append
        for wrong in (append_to(id), append_to(id, after=2)):
            with pytest.raises(AggregateVersionConflict):
                await backend.append([wrong])
        await asyncio.sleep(0.001)
    return []
