"""What a repository does itself; what it must do with any store is in the contract."""

import asyncio
import random
from typing import Any

import pytest

from hitherto import (
    AggregateVersionConflict,
    InvalidAggregateState,
    InvalidInput,
    Repository,
    sync,
)
from hitherto.application.store import Store
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder
from hitherto.testing.repository_contract.domain import Account, Counter, Person
from hitherto.testing.store_contract.making import append_to


@pytest.fixture
def probe() -> Probe:
    return Probe(MemoryStore())


async def test_pauses_between_attempts_grow_up_to_a_limit(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are random below a bound that doubles, so rivals drift apart."""
    bounds: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            bounds.append(seconds)

    async def conflict(*_: object, **__: object) -> None:
        raise AggregateVersionConflict("a-1", 1, 2)

    accounts = Repository(Store(probe), Account)
    await accounts.save(Account.open("a-1"))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "random", lambda: 1.0)
    monkeypatch.setattr(probe, "append", conflict)
    with pytest.raises(AggregateVersionConflict):
        await accounts.update("a-1", lambda account: account.deposit(1), attempts=10)
    assert bounds == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1]


@pytest.mark.parametrize("attempts", [1, 0])
async def test_a_single_attempt_is_not_repeated(probe: Probe, attempts: int) -> None:
    """And there is always one."""
    accounts = Repository(Store(probe), Account)
    await accounts.save(Account.open("a-1"))
    probe.rivals = [append_to("a-1", after=1, type="Account")]
    probe.calls.clear()
    with pytest.raises(AggregateVersionConflict):
        await accounts.update("a-1", lambda account: account.deposit(1), attempts=attempts)
    assert probe.calls == ["load", "append"]


async def test_an_aggregate_beside_others_may_have_nothing_pending(probe: Probe) -> None:
    """It has no position; whether it is at the store's version is not checked."""
    store = Store(probe)
    accounts, people = Repository(store, Account), Repository(store, Person)
    idle, person = Account.open("a-1"), Person("p-1")
    await accounts.save(idle)
    person.register("Ada")
    assert await accounts.save_all(idle, person) == (None, 2)
    assert (await people.load("p-1")).name == "Ada"


async def test_a_conflict_in_a_group_is_counted_for_its_own_type(probe: Probe) -> None:
    """Not for that of the repository."""
    hooks = Recorder()
    store = Store(probe, instrumentation=hooks)
    people = Repository(store, Person)
    first, second = Person("p-1"), Person("p-1")
    first.register("Ada")
    second.register("Bob")
    await people.save(first)
    with pytest.raises(AggregateVersionConflict):
        await Repository(store, Account).save_all(Account.open("a-1"), second)
    assert hooks.of("concurrency_conflict") == [("Person",)]


async def test_a_save_that_was_cancelled_lets_go_of_the_aggregate(probe: Probe) -> None:
    """It can be saved again."""
    accounts = Repository(Store(probe), Account)
    account = Account.open("a-1")
    saving = asyncio.create_task(accounts.save(account))
    await asyncio.sleep(0)
    with pytest.raises(InvalidAggregateState, match="saved by another task"):
        await accounts.save(account)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert await accounts.save(account) == 1


@pytest.mark.parametrize("stranger", [Counter, Account("a-1")])
def test_a_deciders_class_and_an_aggregates_instance_are_refused(stranger: Any) -> None:
    """It is the other way round; found when the repository is made, not when it is used."""
    with pytest.raises(InvalidInput, match="neither an aggregate class"):
        Repository(Store(MemoryStore()), stranger)


def test_a_store_of_the_other_face_is_refused() -> None:
    """Of two imports one is wrong; the error says which of them makes the store."""
    own: Any = Store(MemoryStore())
    other: Any = sync.connect("memory:")
    with pytest.raises(InvalidInput, match=r"store=.*give what hitherto\.connect makes"):
        Repository(other, Account)
    with pytest.raises(InvalidInput, match=r"store=.*give what hitherto\.sync\.connect makes"):
        sync.Repository(own, Account)
