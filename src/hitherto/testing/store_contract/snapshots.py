"""Snapshots: at most one for each aggregate, and only ever a later one."""

import asyncio
import itertools
import random

import pytest

from hitherto.application.ports import Backend
from hitherto.testing.store_contract.making import append_to, snapshot_of


class SnapshotContract:
    """`SnapshotStore`."""

    async def test_a_snapshot_is_kept(self, backend: Backend) -> None:
        """It can be read, and it belongs to its aggregate alone."""
        await backend.append([append_to("thing-1", 3), append_to("thing-2", 3)])
        snapshot = snapshot_of("thing-1", 2)
        assert await backend.save_snapshot(snapshot) is True
        assert await backend.read_snapshot("thing-1") == snapshot
        assert await backend.read_snapshot("thing-2") is None

    @pytest.mark.parametrize("fingerprint", ["code-1", "code-2"])
    async def test_snapshots_go_forward_only(self, backend: Backend, fingerprint: str) -> None:
        """A later one takes the place of an earlier one; no other does, whatever code made it."""
        await backend.append([append_to("thing-1", 9)])
        kept = snapshot_of("thing-1", 5)
        assert await backend.save_snapshot(kept) is True
        for version in (5, 4):
            late = snapshot_of("thing-1", version, data="{}", fingerprint=fingerprint)
            assert await backend.save_snapshot(late) is False
            assert await backend.read_snapshot("thing-1") == kept
        newer = snapshot_of("thing-1", 6, data="[1]", fingerprint=fingerprint)
        assert await backend.save_snapshot(newer) is True
        assert await backend.read_snapshot("thing-1") == newer

    async def test_an_unusable_snapshot_is_replaced(self, backend: Backend) -> None:
        """Whatever its version: one ahead of the events must not stay for ever."""
        await backend.append([append_to("thing-1", 9)])
        for kept, replacement in ((5, 5), (9, 3), (2, 8)):
            await _keep(backend, kept)
            new = snapshot_of("thing-1", replacement, fingerprint="code-2", data='{"n":2}')
            assert await backend.save_snapshot(new, replacing=kept) is True
            assert await backend.read_snapshot("thing-1") == new

    async def test_only_the_snapshot_that_was_found_is_replaced(self, backend: Backend) -> None:
        """If another one came meanwhile, it counts as any other: later ones take its place."""
        await backend.append([append_to("thing-1", 9)])
        kept = await _keep(backend, 5)
        for version, replacing in itertools.product((4, 5), (3, 4, 6, 7)):
            stale = snapshot_of("thing-1", version, data="{}")
            assert await backend.save_snapshot(stale, replacing=replacing) is False
            assert await backend.read_snapshot("thing-1") == kept
        newer = snapshot_of("thing-1", 7)
        assert await backend.save_snapshot(newer, replacing=3) is True
        assert await backend.read_snapshot("thing-1") == newer

    async def test_a_replacement_is_kept_where_nothing_is(self, backend: Backend) -> None:
        """The snapshot that was found may have gone."""
        await backend.append([append_to("thing-1", 2)])
        snapshot = snapshot_of("thing-1", 2)
        assert await backend.save_snapshot(snapshot, replacing=4) is True
        assert await backend.read_snapshot("thing-1") == snapshot

    @pytest.mark.parametrize(
        "data",
        [
            '{"b": 1, "a": 2, "aa": 3}',
            '{"z":{"y":[1,2.50,1e3,-0.0]},"a":null}',
            '{ "spaced" :\n\t"ü\\u00fc\\\\u0000 😀" }',
            '{"twice": 1, "twice": 2}',
            "[18446744073709551616, 0.1000000000000000055511151231257827]",
            '"text"',
            "{}",
        ],
    )
    async def test_its_text_is_kept_to_the_letter(self, backend: Backend, data: str) -> None:
        """The order of keys, spaces and the form of numbers too."""
        await backend.append([append_to("thing-1", 2)])
        await backend.save_snapshot(snapshot_of("thing-1", 1, data=data))
        found = await backend.read_snapshot("thing-1")
        assert found is not None
        assert found.data == data
        stream = await backend.load("thing-1", fingerprint="code-1")
        assert stream.snapshot is not None
        assert stream.snapshot.data == data

    async def test_a_snapshot_may_be_large(self, backend: Backend) -> None:
        """A mebibyte of text comes back as it is."""
        data = '["' + "0123456789abcdef" * 65536 + '"]'
        await backend.append([append_to("thing-1")])
        await backend.save_snapshot(snapshot_of("thing-1", 1, data=data))
        found = await backend.read_snapshot("thing-1")
        assert found is not None
        assert found.data == data

    async def test_of_racing_snapshots_the_latest_is_kept(self, backend: Backend) -> None:
        """In whatever order they arrive."""
        await backend.append([append_to("thing-1", 30)])
        versions = list(range(1, 31))
        random.Random(7).shuffle(versions)  # noqa: S311
        kept = await asyncio.gather(
            *(backend.save_snapshot(snapshot_of("thing-1", version)) for version in versions)
        )
        assert await backend.read_snapshot("thing-1") == snapshot_of("thing-1", 30)
        assert kept[versions.index(30)] is True


async def _keep(backend: Backend, version: int) -> object:
    """Make this the snapshot that is kept, whatever was there."""
    found = await backend.read_snapshot("thing-1")
    snapshot = snapshot_of("thing-1", version)
    await backend.save_snapshot(snapshot, replacing=found.version if found else None)
    return snapshot
