"""Reads of one aggregate, forward and backward, from and to any version."""

import itertools
from typing import Any

import pytest

from hitherto.application.ports import Backend
from hitherto.application.records import MAX_VERSION
from hitherto.errors import InvalidInput
from hitherto.testing.store_contract.making import append_to, versions


class ReadContract:
    """`EventStore.read`."""

    @pytest.mark.parametrize("backward", [False, True])
    async def test_any_range_can_be_read(self, backend: Backend, backward: bool) -> None:
        """Both bounds are included, and the limit counts from where the reading starts."""
        await backend.append([append_to("thing-0", 3)])
        await backend.append([append_to("thing-1", 6)])
        await backend.append([append_to("thing-2", 3)])
        for low, high, limit in itertools.product((1, 3, 6, 7), (None, 1, 4, 6, 9), (None, 1, 3)):
            expected = [n for n in range(1, 7) if low <= n and (high is None or n <= high)]
            found = await backend.read(
                "thing-1", from_version=low, to_version=high, limit=limit, backward=backward
            )
            assert all(event.aggregate_id == "thing-1" for event in found)
            assert [event.version for event in found] == (expected[::-1] if backward else expected)[
                :limit
            ], (low, high, limit)

    async def test_an_unknown_aggregate_has_no_events(self, backend: Backend) -> None:
        """Reading it is no error."""
        await backend.append([append_to("thing-1")])
        assert await versions(backend, "thing-2") == []

    async def test_bounds_may_lie_beyond_the_head(self, backend: Backend) -> None:
        """Up to the highest version that there could be."""
        await backend.append([append_to("thing-1", 2)])
        far = MAX_VERSION
        assert len(await backend.read("thing-1", to_version=far, limit=far)) == 2
        assert len(await backend.read("thing-1", to_version=far, backward=True)) == 2
        assert list(await backend.read("thing-1", from_version=far)) == []
        assert len((await backend.load("thing-1", fingerprint=None, to_version=far)).events) == 2

    @pytest.mark.parametrize("bound", ["from_version", "to_version", "limit"])
    @pytest.mark.parametrize("value", [0, -1, MAX_VERSION + 1])
    async def test_impossible_bounds_are_refused(
        self, backend: Backend, bound: str, value: int
    ) -> None:
        """The error names the bound."""
        await backend.append([append_to("thing-1", 2)])
        bounds: dict[str, Any] = {bound: value}
        with pytest.raises(InvalidInput, match=bound):
            await backend.read("thing-1", **bounds)
