"""A personal field, sealed and opened."""

import asyncio

from hitherto import Aggregate, Event, Personal, Repository, connect


class Joined(Event):
    name: Personal[str]


class Member(Aggregate[Joined]):
    name: str = ""

    def apply(self, event: Joined) -> None:
        self.name = event.name


async def main() -> None:
    async with connect("memory:") as store:
        members = Repository(store, Member)
        member = Member("member-1")
        member.record(Joined(name="Ada"))
        await members.save(member)
        assert (await members.load("member-1")).name == "Ada"


asyncio.run(main())
