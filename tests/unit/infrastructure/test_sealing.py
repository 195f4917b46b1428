"""Personal fields are never stored openly."""

import sys

import pytest

from hitherto import Aggregate, ConfigurationError, Event, Personal, Repository, Store, connect
from hitherto.infrastructure.memory import MemoryStore


class Joined(Event):
    name: Personal[str]


class Member(Aggregate[Joined]):
    name: str = ""

    def apply(self, event: Joined) -> None:
        self.name = event.name


def test_a_store_that_does_not_seal_takes_no_personal_fields() -> None:
    """They would be stored as they are."""
    with pytest.raises(ConfigurationError, match="Member has Personal fields"):
        Repository(Store(MemoryStore()), Member)


async def test_connect_seals() -> None:
    """Nothing has to be said."""
    async with connect("memory:") as store:
        members = Repository(store, Member)
        member = Member("m-1")
        member.record(Joined(name="Ada Lovelace"))
        await members.save(member)
        assert (await members.load("m-1")).name == "Ada Lovelace"
        assert "Lovelace" not in (await store.sealed.read("m-1"))[0].data


async def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    async with connect("memory:") as store:
        members = Repository(store, Member)
        member = Member("m-1")
        member.record(Joined(name="Ada Lovelace"))
        with pytest.raises(ConfigurationError, match=r"pip install 'hitherto\[crypto\]'"):
            await members.save(member)
        assert not await store.sealed.read("m-1")
