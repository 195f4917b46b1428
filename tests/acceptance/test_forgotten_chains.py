"""Hash chains and personal fields: what is stored is hashed, so a destroyed key breaks no chain."""

from pathlib import Path

import pytest

from hitherto import Aggregate, Event, Personal, Repository, connect
from hitherto.application.forgetting import forget
from hitherto.application.verifying import verify


class Joined(Event):
    name: Personal[str]
    country: str


class Member(Aggregate[Joined]):
    name: str = ""

    def apply(self, event: Joined) -> None:
        self.name = event.name


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_chain_outlives_the_key_of_what_it_is_about(kind: str, tmp_path: Path) -> None:
    """It is computed again from what is sealed, before and after."""
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/store.db"
    async with connect(url, hash_chain=True) as store:
        members = Repository(store, Member)
        member = Member("m-1")
        member.record(Joined(name="Ada Lovelace", country="GB"))
        await members.save(member)
        before = await store.backend.chain.links()
        assert "Ada" not in before[0].event.data
        await forget(store, "m-1")
        assert (await members.load("m-1")).name == "[redacted]"
        assert await store.backend.chain.links() == before
        result = await verify(store, [Member])
        assert result.sound, result.findings
        assert result.chained == 1
