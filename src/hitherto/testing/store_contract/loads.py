"""Loads: a snapshot and the events from it on."""

from collections.abc import Sequence

from hitherto.application.ports import Backend
from hitherto.application.records import Stream
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    same_json,
    snapshot_of,
)


class LoadContract:
    """`EventStore.load` and `load_many`."""

    async def test_a_stream_is_narrow(self, backend: Backend) -> None:
        """A row is version, event type, schema version, data and aggregate type."""
        await backend.append([append_to("thing-1", [new_event({"a": 1}, type="B", schema=3)])])
        stream = await backend.load("thing-1", fingerprint=None)
        ((version, event_type, schema, data, aggregate_type),) = stream.events
        assert (version, event_type, schema, aggregate_type) == (1, "B", 3, "Thing")
        assert same_json(data) == {"a": 1}
        assert (stream.snapshot, stream.unusable) == (None, None)

    async def test_a_snapshot_is_followed_by_its_own_event_and_the_later_ones(
        self, backend: Backend
    ) -> None:
        """So that a snapshot which no event bears out shows."""
        snapshot = await _with_snapshot(backend, 5, 3)
        stream = await backend.load("thing-1", fingerprint="code-1")
        assert stream.snapshot == snapshot
        assert stream.unusable is None
        assert _versions(stream.events) == [3, 4, 5]

    async def test_a_snapshot_of_other_code_is_named_only(self, backend: Backend) -> None:
        """Its version is told, and the events come from the first one on."""
        await _with_snapshot(backend, 5, 3)
        stream = await backend.load("thing-1", fingerprint="code-2")
        assert (stream.snapshot, stream.unusable) == (None, 3)
        assert _versions(stream.events) == [1, 2, 3, 4, 5]

    async def test_no_snapshot_is_used_where_none_is_asked_for(self, backend: Backend) -> None:
        """Without a fingerprint, only events are loaded."""
        await _with_snapshot(backend, 5, 3)
        stream = await backend.load("thing-1", fingerprint=None)
        assert (stream.snapshot, stream.unusable) == (None, None)
        assert _versions(stream.events) == [1, 2, 3, 4, 5]

    async def test_a_load_may_stop_at_a_version(self, backend: Backend) -> None:
        """Later events and a later snapshot are left out."""
        snapshot = await _with_snapshot(backend, 5, 3)
        for to_version in range(1, 7):
            for fingerprint in (None, "code-1", "code-2"):
                stream = await backend.load(
                    "thing-1", fingerprint=fingerprint, to_version=to_version
                )
                known = fingerprint is not None and to_version >= 3
                usable = known and fingerprint == "code-1"
                assert stream.snapshot == (snapshot if usable else None)
                assert stream.unusable == (3 if known and not usable else None)
                first, last = 3 if usable else 1, min(to_version, 5)
                assert _versions(stream.events) == list(range(first, last + 1))

    async def test_a_snapshot_ahead_of_all_events_comes_alone(self, backend: Backend) -> None:
        """No event stands beside it, which is how its reader knows."""
        snapshot = await _with_snapshot(backend, 2, 3)
        stream = await backend.load("thing-1", fingerprint="code-1")
        assert (stream.snapshot, list(stream.events)) == (snapshot, [])

    async def test_an_unknown_aggregate_is_an_empty_stream(self, backend: Backend) -> None:
        """Loading it is no error."""
        await backend.append([append_to("thing-2")])
        stream = await backend.load("thing-1", fingerprint="code-1")
        assert (stream.snapshot, stream.unusable, list(stream.events)) == (None, None, [])

    async def test_many_are_loaded_as_each_alone(self, backend: Backend) -> None:
        """With their snapshots; those without events are left out."""
        await backend.append([append_to(f"thing-{n}", n) for n in range(1, 6)])
        await backend.save_snapshot(snapshot_of("thing-3", 2))
        await backend.save_snapshot(snapshot_of("thing-4", 4))
        await backend.save_snapshot(snapshot_of("thing-5", 3, fingerprint="code-2"))
        await backend.save_snapshot(snapshot_of("thing-7", 3))
        for fingerprint in (None, "code-1", "code-2"):
            ids = [f"thing-{n}" for n in (5, 3, 1, 9, 4, 7)]
            streams = await backend.load_many(ids, fingerprint=fingerprint)
            assert sorted(streams) == ["thing-1", "thing-3", "thing-4", "thing-5"]
            for each, stream in streams.items():
                alone = await backend.load(each, fingerprint=fingerprint)
                assert _comparable(stream) == _comparable(alone)

    async def test_a_snapshot_ahead_of_all_events_hides_nothing(self, backend: Backend) -> None:
        """Among many, an aggregate whose snapshot no event bears out is not left out."""
        snapshot = await _with_snapshot(backend, 2, 3)
        streams = await backend.load_many(["thing-1"], fingerprint="code-1")
        assert list(streams) == ["thing-1"]
        assert (streams["thing-1"].snapshot, list(streams["thing-1"].events)) == (snapshot, [])

    async def test_thousands_are_loaded_at_once(self, backend: Backend) -> None:
        """Three thousand ids, known and unknown, some of them twice."""
        for start in range(0, 2000, 500):
            await backend.append([append_to(f"thing-{n}") for n in range(start, start + 500)])
        ids = [f"thing-{n}" for n in range(3000)]
        streams = await backend.load_many([*ids, *ids[:10]], fingerprint="code-1")
        assert set(streams) == set(ids[:2000])
        assert all(_versions(stream.events) == [1] for stream in streams.values())

    async def test_nothing_is_loaded_for_no_ids(self, backend: Backend) -> None:
        """An empty request has an empty answer."""
        await backend.append([append_to("thing-1")])
        assert dict(await backend.load_many([], fingerprint="code-1")) == {}


async def _with_snapshot(backend: Backend, events: int, version: int) -> object:
    await backend.append([append_to("thing-1", events)])
    snapshot = snapshot_of("thing-1", version)
    assert await backend.save_snapshot(snapshot)
    return snapshot


def _versions(rows: Sequence[tuple[int, str, int, str, str]]) -> list[int]:
    return [row[0] for row in rows]


def _comparable(stream: Stream) -> tuple[object, ...]:
    rows = [(*row[:3], same_json(row[3]), row[4]) for row in stream.events]
    return stream.snapshot, stream.unusable, rows
