"""`Checkpoints.attend`: workers share the partitions, and others take over from those that end."""

import asyncio

import msgspec
import pytest

from hitherto.application.ports import Backend
from hitherto.testing.checkpoint_contract.making import (
    LONG,
    SHORT,
    advance,
    attend,
    eventually,
    hold,
    leases,
    prepare,
    some_events,
    tokens,
)


class SharingContract:
    """Each worker gets its fair part, and nobody another one's."""

    async def test_the_only_worker_gets_all(self, backend: Backend) -> None:
        """From the first event on."""
        made = await prepare(backend, partitions=5)
        found = await attend(backend, made)
        assert (found.share, found.state, found.paused, found.retry) == (5, "active", False, False)
        assert [each.partition for each in found.leases] == [0, 1, 2, 3, 4]
        for each in found.leases:
            assert (each.position, each.attempts, each.silent_until) == (0, 0, 0)
            assert each.intact

    async def test_of_several_one_works_on_the_only_partition(self, backend: Backend) -> None:
        """The others stand by."""
        made = await prepare(backend)
        held = await hold(backend, made, "one")
        second, third = await attend(backend, made, "two"), await attend(backend, made, "three")
        assert (second.leases, third.leases) == ((), ())
        assert second.share == third.share == 1
        assert tokens(await attend(backend, made, "one", held)) == held

    @pytest.mark.parametrize(("workers", "share"), [(1, 64), (2, 32), (3, 22), (5, 13)])
    async def test_a_share_is_a_fair_part(self, backend: Backend, workers: int, share: int) -> None:
        """Of the partitions, rounded up."""
        made = await prepare(backend, partitions=64)
        found = [await attend(backend, made, f"worker {number}") for number in range(workers)]
        assert found[-1].share == share

    async def test_workers_come_and_go(self, backend: Backend) -> None:
        """Who has too much lets go, who has too little takes it: no partition has two workers."""
        made = await prepare(backend, partitions=64)
        names = ["one", "two", "three"]
        held = {name: dict[int, int]() for name in names}
        for living in (names[:1], names[:2], names, names[1:], names[2:]):
            for name in names:
                if name not in living and held[name]:
                    await backend.checkpoints.release(made, name, held[name], leave=True)
                    held[name] = {}
            for name in living * 2:  # once to be known and to let go, once to take
                await _rebalance(backend, name, held)
            owned = [each for name in living for each in held[name]]
            assert sorted(owned) == list(range(64))
            assert all(len(held[name]) <= -(-64 // len(living)) for name in living)

    async def test_many_that_come_at_once_take_each_partition_once(self, backend: Backend) -> None:
        """However their calls interleave."""
        made = await prepare(backend, partitions=64)
        found = await asyncio.gather(*(attend(backend, made, f"worker {n}") for n in range(8)))
        taken = [lease.partition for each in found for lease in each.leases]
        assert len(taken) == len(set(taken))
        assert taken

    async def test_a_living_worker_keeps_what_it_holds(self, backend: Backend) -> None:
        """Attending again renews its leases, with the same tokens."""
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made, lease=SHORT)
        for _ in range(10):
            found = await attend(backend, made, held=held, lease=LONG)
            assert tokens(found) == held
            await asyncio.sleep(SHORT / 5)
        assert (await attend(backend, made, "two")).leases == ()

    async def test_who_comes_late_keeps_what_nobody_took(self, backend: Backend) -> None:
        """The token stays the same: what it has begun is still its own."""
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made, lease=SHORT / 10)
        await backend.checkpoints.release(made, "one", {2: held.pop(2)}, leave=False)
        await asyncio.sleep(SHORT)
        found = tokens(await attend(backend, made, held=held))
        assert found.keys() == {0, 1, 2}
        assert {each: found[each] for each in held} == held

    async def test_who_has_too_little_takes_the_lowest(self, backend: Backend) -> None:
        """Who has more than its share takes nothing, though something is free."""
        made = await prepare(backend, partitions=6)
        held = await hold(backend, made, "one")
        await attend(backend, made, "two")
        free = {each: held.pop(each) for each in (1, 3)}
        await backend.checkpoints.release(made, "one", free, leave=False)
        found = await attend(backend, made, "one", held)
        assert (found.share, tokens(found)) == (3, held)
        await backend.checkpoints.release(made, "one", held, leave=False)
        assert tokens(await attend(backend, made, "two")).keys() == {0, 1, 2}

    async def test_others_take_over_after_the_lease(self, backend: Backend) -> None:
        """With a higher token, at the checkpoint; the frozen one learns that it has lost."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        await backend.checkpoints.begin(made, {1: held[1]})

        async def taken() -> bool:
            found.append(await attend(backend, made, "two", tokens(found[-1])))
            return len(found[-1].leases) == 2

        found = [await attend(backend, made, "two")]
        assert found[0].leases == ()
        await attend(backend, made, held=held, lease=SHORT)
        await advance(backend, made, held, positions[1], lease=SHORT, begun=True)
        await eventually(taken)
        for lease in found[-1].leases:
            assert lease.token > held[lease.partition]
            assert (lease.position, lease.attempts) == (positions[1], 1)
        assert (await attend(backend, made, "one", held)).leases == ()

    async def test_the_dead_do_not_count(self, backend: Backend) -> None:
        """The living share what was theirs."""
        made = await prepare(backend, partitions=4)
        await attend(backend, made, "dead", lease=SHORT)

        async def all_is_mine() -> bool:
            found = await attend(backend, made, "alive", held)
            held.update(tokens(found))
            return len(held) == 4

        held: dict[int, int] = {}
        await eventually(all_is_mine)
        assert (await attend(backend, made, "alive", held)).share == 4

    async def test_a_lost_partition_is_left_out(self, backend: Backend) -> None:
        """What is still held stays."""
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        assert tokens(await attend(backend, made, held={0: held[0], 1: held[1] - 1})) == {
            0: held[0]
        }

    async def test_nobody_takes_anything_of_what_is_paused(self, backend: Backend) -> None:
        """What is held is told on, so that it can be let go."""
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        await backend.checkpoints.release(made, "one", {1: held.pop(1)}, leave=False)
        assert await backend.checkpoints.pause(made.name, paused=True) is True
        found = await attend(backend, made, held=held)
        assert found.paused
        assert tokens(found) == held
        assert (await attend(backend, made, "two")).leases == ()
        assert await backend.checkpoints.pause(made.name, paused=False) is True
        found = await attend(backend, made, held=held)
        assert (found.paused, set(tokens(found))) == (False, {0})
        assert [each.partition for each in (await attend(backend, made, "two")).leases] == [1]

    async def test_what_is_unknown_is_not_paused(self, backend: Backend) -> None:
        """It is told."""
        assert await backend.checkpoints.pause("nothing", paused=True) is False

    async def test_a_retired_generation_has_nothing_to_do(self, backend: Backend) -> None:
        """Nor one that never was."""
        made = await prepare(backend)
        old = await prepare(backend, version=2)
        await prepare(backend, version=3)
        for gone in (old, msgspec.structs.replace(made, number=99)):
            found = await attend(backend, gone)
            assert (found.leases, found.state) == ((), "retired")

    async def test_a_checkpoint_knows_its_event(self, backend: Backend) -> None:
        """Where the log lacks the event that it was moved to, its lease tells."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        await advance(backend, made, {0: held[0]}, positions[-1])
        await advance(backend, made, {1: held[1]}, positions[-1] + 1000)
        found = await leases(backend, made, held)
        assert {each: lease.intact for each, lease in found.items()} == {0: True, 1: False, 2: True}


async def _rebalance(backend: Backend, name: str, held: dict[str, dict[int, int]]) -> None:
    """Attend as a worker does, and let go what is beyond the share."""
    made = await prepare(backend)
    found = await attend(backend, made, name, held[name])
    held[name] = tokens(found)
    spare = {each: held[name].pop(each) for each in sorted(held[name])[found.share :]}
    if spare:
        await backend.checkpoints.release(made, name, spare, leave=False)
