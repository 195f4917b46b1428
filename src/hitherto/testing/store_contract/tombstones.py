"""Aggregates that were closed for good: they are read, and take no events."""

from datetime import UTC, datetime

import pytest

from hitherto.application.alongside import Alongside
from hitherto.application.ports import Backend
from hitherto.application.ports.archive import Tombstone
from hitherto.errors import AggregateTombstoned, AggregateVersionConflict
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    placed,
    versions,
    whole_log,
)

CLOSED = Tombstone("a", "sold twice", "a clerk")


class TombstoneContract:
    """`Archive.tombstone`."""

    @pytest.mark.parametrize("events", [1, 3, 600])
    async def test_nothing_is_appended_any_more(self, backend: Backend, events: int) -> None:
        """Alone, in a batch, in a group, beside effects, in an import; others are appended to."""
        await backend.append([append_to("a", 3)])
        assert await backend.archive.tombstone(CLOSED) == 3
        before = await whole_log(backend)
        more = append_to("a", events, after=3)
        for appends, alongside in (
            ([more], None),
            ([append_to("b"), more], None),
            ([more], Alongside(scope="s", handled=["m"])),
        ):
            with pytest.raises(AggregateTombstoned, match="'a' was closed for good"):
                await backend.append(appends, alongside=alongside)
        with pytest.raises(AggregateTombstoned):
            await backend.import_events([placed("c", 1), placed("a", 4)])
        assert await whole_log(backend) == before
        assert not await backend.handled("s", ["m"])
        await backend.append([append_to("b")])

    async def test_of_whatever_version_it_is_told_so(self, backend: Backend) -> None:
        """A new aggregate under its id is refused, too, and so is one decided on an old version."""
        await backend.append([append_to("a", 3)])
        await backend.archive.tombstone(CLOSED)
        for after in (0, 1, 4):
            with pytest.raises(AggregateTombstoned):
                await backend.append([append_to("a", after=after)])
        with pytest.raises(AggregateVersionConflict):
            await backend.append([append_to("b", after=1)])

    @pytest.mark.parametrize("events", [1, 3, 600])
    async def test_what_stands_may_be_repeated(self, backend: Backend, events: int) -> None:
        """Its answer was lost; it was stored before."""
        append = append_to("a", events)
        told = await backend.append([append])
        await backend.archive.tombstone(CLOSED)
        assert await backend.append([append]) == told
        group = [append, append_to("b", events)]
        assert (await backend.append(group))[0] == told[0]

    async def test_it_is_read_archived_and_restored_as_before(self, backend: Backend) -> None:
        """It stays closed."""
        await backend.append([append_to("a", 3)])
        await backend.archive.tombstone(CLOSED)
        assert await versions(backend, "a") == [1, 2, 3]
        assert await backend.archive.archive({"a": 3}) == {"a": 2}
        with pytest.raises(AggregateTombstoned):
            await backend.append([append_to("a", after=3)])
        await backend.archive.restore(["a"])
        with pytest.raises(AggregateTombstoned):
            await backend.append([append_to("a", [new_event()], after=3)])
        assert list(await backend.inspect()) == []

    async def test_the_store_tells_of_it_and_keeps_the_first_account(
        self, backend: Backend
    ) -> None:
        """Of one that has no event there is none."""
        await backend.append([append_to("a", 2)])
        begun = datetime.now(UTC)
        assert await backend.archive.tombstone(CLOSED) == 2
        assert await backend.archive.tombstone(Tombstone("a", "another", "another")) == 2
        assert await backend.archive.tombstone(Tombstone("nobody", "it", "he")) == 0
        (told,) = await backend.archive.tombstones(["a", "b", "nobody"])
        assert (told.aggregate_id, told.reason) == ("a", "sold twice")
        assert told.closed_by.startswith("a clerk")
        assert told.closed_at is not None
        assert abs((told.closed_at - begun).total_seconds()) < 60
