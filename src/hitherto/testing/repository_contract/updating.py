"""`update`: load, decide, save; again if another writer was first."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from hitherto.application.records import Append
from hitherto.application.store import Store
from hitherto.errors import AggregateVersionConflict, EventStoreUnavailable, InvalidAggregateState
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import RepositoryTests
from hitherto.testing.repository_contract.domain import Account
from hitherto.testing.store_contract.making import append_to, new_event


class UpdateContract(RepositoryTests):
    """`Repository.update`."""

    async def test_it_returns_what_the_command_returned(self, store: Store) -> None:
        """After its events are stored."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        assert await accounts.update("a-1", lambda account: account.deposit(7)) == 7
        assert (await accounts.load("a-1")).balance == 7

    async def test_a_command_that_lost_is_decided_anew(self, store: Store, probe: Probe) -> None:
        """On fresh state, and its first decision leaves nothing behind."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        seen: list[Decimal] = []

        def command(account: Account) -> Decimal:
            seen.append(account.balance)
            return account.deposit(1)

        probe.rivals = [_rival(after=1), _rival(after=2)]
        assert await accounts.update("a-1", command) == 21
        assert seen == [0, 10, 20]
        assert (await accounts.load("a-1")).version == 4

    async def test_a_decision_may_change_when_it_is_made_anew(
        self, store: Store, probe: Probe
    ) -> None:
        """What the rival did is part of the state."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))

        def withdraw_only_from_little(account: Account) -> None:
            if account.balance > 5:
                raise InvalidAggregateState("too rich")
            account.deposit(1)

        probe.rivals = [_rival(after=1)]
        with pytest.raises(InvalidAggregateState, match="too rich"):
            await accounts.update("a-1", withdraw_only_from_little)
        assert (await accounts.load("a-1")).version == 2

    async def test_the_conflict_is_raised_after_the_last_attempt(
        self, store: Store, probe: Probe
    ) -> None:
        """Every attempt lost, and the store has the rivals' events alone."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.rivals = [_rival(after=n) for n in (1, 2, 3, 4)]
        with pytest.raises(AggregateVersionConflict) as caught:
            await accounts.update("a-1", lambda account: account.deposit(1), attempts=3)
        assert (caught.value.expected, caught.value.actual) == (3, 4)
        assert len(probe.rivals) == 1
        assert (await accounts.load("a-1")).balance == 30

    async def test_many_updates_at_once_all_get_through(self, store: Store) -> None:
        """Each of them once."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        await asyncio.gather(
            *(accounts.update("a-1", lambda account: account.deposit(1)) for _ in range(12))
        )
        account = await accounts.load("a-1")
        assert (int(account.balance), account.version) == (12, 13)

    async def test_a_refused_command_leaves_no_trace(self, store: Store, probe: Probe) -> None:
        """What it raised is raised, and nothing is appended."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.reset()
        with pytest.raises(InvalidAggregateState, match="0 is less than 5"):
            await accounts.update("a-1", lambda account: account.withdraw(5))
        assert "append" not in probe.calls

    async def test_a_command_may_find_nothing_to_do(self, store: Store, probe: Probe) -> None:
        """Nothing is appended, and its result is returned."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.reset()
        assert await accounts.update("a-1", lambda account: account.owner) == "Ada"
        assert probe.calls == ["load"]

    async def test_an_awaitable_is_refused(self, store: Store, probe: Probe) -> None:
        """Nothing is stored of what the command had recorded."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.reset()

        async def command(account: Account) -> None:
            account.deposit(1)

        def recording(account: Account) -> Any:
            account.deposit(1)
            return Awaitable()

        for refused in (command, recording):
            with pytest.raises(TypeError, match="plain function"):
                await accounts.update("a-1", refused)
        assert "append" not in probe.calls
        assert (await accounts.load("a-1")).version == 1

    async def test_a_store_that_fails_is_not_asked_again(self, store: Store, probe: Probe) -> None:
        """Only a conflict is."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.reset()
        probe.broken = {"append"}
        with pytest.raises(EventStoreUnavailable):
            await accounts.update("a-1", lambda account: account.deposit(1))
        assert probe.calls == ["load", "append"]


class Awaitable:
    """Something that could be awaited, though it is no coroutine."""

    def __await__(self) -> Any:
        yield


def _rival(*, after: int) -> Append:
    event = new_event('{"amount": "10"}', type="money-deposited")
    return append_to("a-1", [event], after=after, type="Account")
