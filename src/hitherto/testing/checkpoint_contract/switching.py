"""`Checkpoints.switch`: a view that was filled takes the place of the one that is read."""

import pytest

from hitherto.application.checkpoints import Generation
from hitherto.application.ports import Backend
from hitherto.errors import HandlerFailed, LeaseLost
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    Changes,
    advance,
    attend,
    document,
    hold,
    nothing,
    prepare,
    rebuilt,
    some_events,
    stored,
    tokens,
)


class SwitchContract:
    """It happens in one step, when the checkpoints fit."""

    async def test_the_new_one_takes_the_place_of_the_old_one(self, backend: Backend) -> None:
        """Readers see its documents, and code of its version works on it."""
        (position, *_) = await some_events(backend)
        old, new = await rebuilt(backend)
        for generation in (old, new):
            data = f'{{"number": {generation.number}}}'
            held = await hold(backend, generation)
            await advance(backend, generation, held, position, documents=[document("a", data)])
        changes = Changes()
        assert await _switch(backend, new, finish=changes) is True
        assert changes.calls == [(new, old)]
        assert await stored(backend) == {"a": {"number": 2}}
        assert await backend.checkpoints.position(NAME) == position
        found = await prepare(backend)
        assert (found.number, found.state) == (new.number, "active")
        assert [each.generation for each in await backend.checkpoints.status(NAME)] == [2]

    async def test_everybody_has_to_look_again(self, backend: Backend) -> None:
        """The workers of both are fenced off, and nobody holds the new one."""
        (position, *_) = await some_events(backend)
        old, new = await rebuilt(backend, partitions=2)
        of_old, of_new = await hold(backend, old), await hold(backend, new, "other")
        await advance(backend, new, of_new, position)
        assert await _switch(backend, new) is True
        for generation, held in ((old, of_old), (new, of_new)):
            with pytest.raises(LeaseLost):
                await advance(backend, generation, held, position)
        assert (await attend(backend, old, held=of_old)).state == "retired"
        found = await attend(backend, new, "third")
        assert (found.state, found.share) == ("active", 2)
        assert all(each.token > of_new[each.partition] for each in found.leases)
        assert tokens(found).keys() == {0, 1}

    @pytest.mark.parametrize(
        ("old_at", "new_at", "side_effects", "done"),
        [
            ([2, 2], [2, 2], False, True),
            ([2, 2], [4, 3], False, True),
            ([2, 4], [2, 3], False, True),
            ([3, 4], [2, 4], False, False),
            ([2, 2], [2, 2], True, True),
            ([3, 4], [2, 3], True, True),
            ([3, 4], [2, 4], True, False),
            ([0, 4], [1, 1], True, False),
        ],
    )
    async def test_the_checkpoints_must_fit(
        self,
        backend: Backend,
        old_at: list[int],
        new_at: list[int],
        side_effects: bool,
        done: bool,
    ) -> None:
        """Without side effects none may be behind; with them none may be ahead."""
        positions = [0, *await some_events(backend)]
        old, new = await rebuilt(backend, partitions=2)
        for generation, places in ((old, old_at), (new, new_at)):
            held = await hold(backend, generation)
            for partition, place in enumerate(places):
                only = {partition: held[partition]}
                await advance(backend, generation, only, positions[place])
        changes = Changes()
        assert await _switch(backend, new, side_effects=side_effects, finish=changes) is done
        assert len(changes.calls) == int(done)
        number = new.number if done else old.number
        assert (await prepare(backend)).number == number
        if not done:
            assert tokens(await attend(backend, new, held=held)) == held

    async def test_side_effects_stay_silent_where_the_old_one_did_them(
        self, backend: Backend
    ) -> None:
        """Up to the old one's checkpoint, in each partition."""
        positions = await some_events(backend)
        old, new = await rebuilt(backend, partitions=2)
        held = await hold(backend, old)
        await advance(backend, old, {0: held[0]}, positions[2])
        await advance(backend, old, {1: held[1]}, positions[3])
        held = await hold(backend, new)
        await advance(backend, new, held, positions[1])
        assert await _switch(backend, new, side_effects=True) is True
        found = (await attend(backend, new)).leases
        assert [each.silent_until for each in found] == positions[2:4]
        assert [each.position for each in found] == [positions[1]] * 2

    async def test_other_partitions_are_silent_up_to_the_lowest_checkpoint(
        self, backend: Backend
    ) -> None:
        """Where the log is divided anew, an effect may be repeated, but none is lost."""
        positions = await some_events(backend)
        old = await prepare(backend, partitions=2)
        held = await hold(backend, old)
        await advance(backend, old, {0: held[0]}, positions[2])
        await advance(backend, old, {1: held[1]}, positions[3])
        new = await prepare(backend, partitions=1, rebuild=True)
        await advance(backend, new, await hold(backend, new), positions[1])
        assert await _switch(backend, new, side_effects=True) is True
        (lease,) = (await attend(backend, new)).leases
        assert lease.silent_until == positions[2]

    async def test_without_side_effects_nothing_is_silent(self, backend: Backend) -> None:
        """There is nothing to be silent about."""
        (position, *_) = await some_events(backend)
        old, new = await rebuilt(backend)
        for generation in (old, new):
            await advance(backend, generation, await hold(backend, generation), position)
        assert await _switch(backend, new) is True
        (lease,) = (await attend(backend, new)).leases
        assert lease.silent_until == 0

    async def test_a_switch_that_fails_changes_nothing(self, backend: Backend) -> None:
        """Both go on as they were."""
        old, new = await rebuilt(backend)
        of_old, of_new = await hold(backend, old), await hold(backend, new)
        error = ZeroDivisionError("finish")
        with pytest.raises(HandlerFailed) as caught:
            await _switch(backend, new, finish=Changes(error))
        assert caught.value.__cause__ is error
        assert await prepare(backend) == old
        assert tokens(await attend(backend, old, held=of_old)) == of_old
        assert tokens(await attend(backend, new, held=of_new)) == of_new

    async def test_it_happens_once(self, backend: Backend) -> None:
        """What is active or retired is not switched to."""
        old, new = await rebuilt(backend)
        assert await _switch(backend, old) is False
        assert await _switch(backend, new) is True
        assert await _switch(backend, new) is False
        assert await _switch(backend, old) is False
        newer = await prepare(backend, version=2)
        await prepare(backend, version=3)
        assert await _switch(backend, newer) is False

    async def test_what_was_paused_stays_so(self, backend: Backend) -> None:
        """It is the projection that was told to stand still."""
        await prepare(backend)
        await backend.checkpoints.pause(NAME, paused=True)
        new = await prepare(backend, version=2)
        assert await _switch(backend, new) is True
        assert (await attend(backend, new)).paused


async def _switch(
    backend: Backend, new: Generation, *, side_effects: bool = False, finish: object = nothing
) -> bool:
    return await backend.checkpoints.switch(
        new,
        side_effects=side_effects,
        finish=finish,  # type: ignore[arg-type]
    )
