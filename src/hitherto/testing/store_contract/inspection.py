"""Ids in pages, and damage found."""

import pytest

from hitherto.application.ports import Backend
from hitherto.errors import InvalidInput
from hitherto.testing.store_contract.making import append_to, new_event, snapshot_of

# In the order of their bytes, which is neither a dictionary's nor that of UTF-16.
IDS = [" ", "A", "Z", "a", "a-1", "a1", "z", "é", "\uffee", "😀"]


class InspectionContract:
    """`aggregate_ids`, `snapshot_ids` and `inspect`."""

    async def test_ids_come_in_pages_in_the_order_of_their_bytes(self, backend: Backend) -> None:
        """Each page goes on where the last one ended, whatever the length of the streams."""
        for number, each in enumerate(reversed(IDS), 1):
            await backend.append([append_to(each, number)])
            await backend.save_snapshot(snapshot_of(each, number))
        for ids_of in (backend.aggregate_ids, backend.snapshot_ids):
            assert await ids_of("Thing") == IDS
            for size in (1, 3, len(IDS)):
                found: list[str] = []
                while page := await ids_of("Thing", after=found[-1] if found else "", limit=size):
                    assert len(page) == min(size, len(IDS) - len(found))
                    found.extend(page)
                assert found == IDS
            assert await ids_of("Thing", after="a0") == IDS[5:]

    async def test_ids_are_those_of_one_type(self, backend: Backend) -> None:
        """A type without any has none."""
        for each in ("a", "b", "c", "d"):
            kind = "Thing" if each in "ac" else "Other"
            await backend.append([append_to(each, 3, type=kind)])
            if each in "ab":
                await backend.save_snapshot(snapshot_of(each, 2, type=kind))
        assert await backend.aggregate_ids("Thing") == ["a", "c"]
        assert await backend.aggregate_ids("Other") == ["b", "d"]
        assert await backend.aggregate_ids("None") == []
        assert await backend.snapshot_ids("Thing") == ["a"]
        assert await backend.snapshot_ids("Other") == ["b"]
        assert await backend.snapshot_ids("None") == []

    @pytest.mark.parametrize(
        ("aggregate_type", "after", "limit"),
        [("", "", 1), ("a\0", "", 1), ("Thing", "a\0", 1), ("Thing", "", 0), ("Thing", "", -1)],
    )
    async def test_pages_of_ids_that_make_no_sense_are_refused(
        self, backend: Backend, aggregate_type: str, after: str, limit: int
    ) -> None:
        """As everywhere."""
        for ids_of in (backend.aggregate_ids, backend.snapshot_ids):
            with pytest.raises(InvalidInput):
                await ids_of(aggregate_type, after=after, limit=limit)

    async def test_a_sound_store_is_found_sound(self, backend: Backend) -> None:
        """Empty, and with all that may be stored."""
        assert list(await backend.inspect()) == []
        with_metadata = [new_event({"deep": {"list": [1, None]}}, metadata='{"who": "ada"}')]
        await backend.append([append_to("thing-1", with_metadata, type="Other")])
        for each in IDS:
            await backend.append([append_to(each, 3), append_to(f"{each}{each}", 1)])
            await backend.save_snapshot(snapshot_of(each, 2))
        await backend.append([append_to("thing-1", 2, after=1, type="Other")])
        assert list(await backend.inspect()) == []

    async def test_snapshots_that_no_event_bears_out_are_found(self, backend: Backend) -> None:
        """Each with its place, and a remedy."""
        await backend.append([append_to("a", 3), append_to("b", 3), append_to("sound", 3)])
        await backend.save_snapshot(snapshot_of("sound", 3))
        await backend.save_snapshot(snapshot_of("a", 4))
        await backend.save_snapshot(snapshot_of("b", 3, type="Other"))
        await backend.save_snapshot(snapshot_of("none", 1))
        found = {finding.kind: finding for finding in await backend.inspect()}
        assert {
            kind: (each.count, each.places[0].aggregate_id) for kind, each in found.items()
        } == {
            "snapshot-ahead": (1, "a"),
            "snapshot-of-another-type": (1, "b"),
            "snapshot-without-events": (1, "none"),
        }
        (ahead,) = found["snapshot-ahead"].places
        assert (ahead.version, ahead.position) == (4, None)
        assert ahead.what == "the snapshot of 'a' is at version 4, but its events end at 3"
        assert all(finding.remedy for finding in found.values())

    async def test_json_that_is_no_object_is_found(self, backend: Backend) -> None:
        """An event's own fields have names, and so has its metadata."""
        events = [new_event("[1]"), new_event(), new_event({}, metadata="[]")]
        (position,) = await backend.append([append_to("a", events)])
        data, metadata = await backend.inspect()
        assert (data.kind, data.count) == ("data-not-object", 1)
        assert (data.places[0].aggregate_id, data.places[0].version) == ("a", 1)
        assert "array" in data.places[0].what
        assert (metadata.kind, metadata.count) == ("metadata-not-object", 1)
        assert (metadata.places[0].version, metadata.places[0].position) == (3, position)
        assert "array" in metadata.places[0].what

    async def test_much_damage_is_counted_and_told_in_part(self, backend: Backend) -> None:
        """So that a report can be read, and kept in memory."""
        await backend.append([append_to("a", [new_event("1") for _ in range(1234)])])
        (finding,) = await backend.inspect()
        assert (finding.kind, finding.count) == ("data-not-object", 1234)
        assert 0 < len(finding.places) <= 100
