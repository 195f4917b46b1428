"""Metadata: given with a save, or inherited from the context."""

import asyncio

import pytest

from hitherto.application.store import Store
from hitherto.domain.metadata import Metadata, metadata_context
from hitherto.errors import EventSerializationFailed
from hitherto.testing.repository_contract.base import RepositoryTests
from hitherto.testing.repository_contract.domain import Account, Person

GIVEN = Metadata(correlation_id="c", causation_id="d", actor="😀 it's", extra={"ip": "::1", "n": 1})


class MetadataContract(RepositoryTests):
    """Correlation and causation ids, actor, and keys of the user's own."""

    async def test_it_is_kept_with_each_event_of_a_save(self, store: Store) -> None:
        """And with no other event."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        account.deposit(1)
        await accounts.save(account, metadata=GIVEN)
        account.deposit(2)
        await accounts.save(account)
        kept = [recorded.metadata for recorded in await accounts.history("a-1")]
        assert kept == [GIVEN, GIVEN, Metadata()]

    async def test_save_all_and_update_keep_it_too(self, store: Store) -> None:
        """With every aggregate."""
        accounts = self.make_repository(store, Account)
        person = Person("p-1")
        person.register("Bob")
        await accounts.save_all(Account.open("a-1"), person, metadata=GIVEN)
        await accounts.update("a-1", lambda account: account.deposit(1), metadata=GIVEN)
        kept = [recorded.metadata for recorded in await accounts.history("a-1")]
        kept += [each.metadata for each in await self.make_repository(store, Person).history("p-1")]
        assert kept == [GIVEN] * 3

    async def test_saves_inherit_it_from_the_context(self, store: Store) -> None:
        """Blocks nest, and what is given with a save goes before."""
        accounts = self.make_repository(store, Account)
        with metadata_context(correlation_id="outer", actor="Ada", ip="::1"):
            with metadata_context(correlation_id="inner", causation_id="cause", way="web"):
                await accounts.save(Account.open("a-1"), metadata=Metadata(extra={"way": "own"}))
            await accounts.update("a-1", lambda account: account.deposit(1))
        await accounts.update("a-1", lambda account: account.deposit(1))
        assert [recorded.metadata for recorded in await accounts.history("a-1")] == [
            Metadata(
                correlation_id="inner",
                causation_id="cause",
                actor="Ada",
                extra={"ip": "::1", "way": "own"},
            ),
            Metadata(correlation_id="outer", actor="Ada", extra={"ip": "::1"}),
            Metadata(),
        ]

    async def test_tasks_inherit_it_and_do_not_share_it(self, store: Store) -> None:
        """Each task sees what was set where it was started, and what it set itself."""
        accounts = self.make_repository(store, Account)

        async def request(number: int) -> None:
            with metadata_context(correlation_id=f"request-{number}"):
                await asyncio.sleep(0)
                await accounts.save(Account.open(f"a-{number}"))

        with metadata_context(actor="Ada"):
            await asyncio.gather(*(request(number) for number in range(5)))
        for number in range(5):
            (recorded,) = await accounts.history(f"a-{number}")
            expected = Metadata(correlation_id=f"request-{number}", actor="Ada")
            assert recorded.metadata == expected

    @pytest.mark.parametrize("text", ["\0", "\ud800"])
    async def test_what_cannot_be_stored_is_told_as_metadata(self, store: Store, text: str) -> None:
        """Nothing of the save is stored, and it can be repeated without."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        with pytest.raises(EventSerializationFailed, match="the metadata cannot be stored"):
            await accounts.save(account, metadata=Metadata(actor=text))
        assert not await accounts.exists("a-1")
        await accounts.save(account)
        assert (await accounts.load("a-1")).version == 1
