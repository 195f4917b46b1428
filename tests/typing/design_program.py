import asyncio
from typing import Self
from uuid import uuid4

from hitherto import Aggregate, Event, InvalidAggregateState, Repository, connect


class UserCreated(Event):
    email: str
    name: str


class UserRenamed(Event):
    name: str


class UserDeactivated(Event):
    reason: str


UserEvent = UserCreated | UserRenamed | UserDeactivated


class User(Aggregate[UserEvent]):
    email: str = ""
    name: str = ""
    active: bool = False

    @classmethod
    def create(cls, user_id: str, email: str, name: str) -> Self:
        user = cls(user_id)
        user.record(UserCreated(email=email, name=name))
        return user

    def deactivate(self, reason: str) -> None:
        if not self.active:
            raise InvalidAggregateState(f"user {self.id} is not active")
        self.record(UserDeactivated(reason=reason))

    def apply(self, event: UserEvent) -> None:
        match event:
            case UserCreated(email=email, name=name):
                self.email, self.name, self.active = email, name, True
            case UserRenamed(name=name):
                self.name = name
            case UserDeactivated():
                self.active = False


async def main() -> None:
    async with connect("sqlite:///users.db") as store:
        users = Repository(store, User)
        user = User.create(f"user-{uuid4()}", "john@example.com", "John Doe")
        await users.save(user)
        await users.update(user.id, lambda user: user.deactivate("left"))
        user = await users.load(user.id)
        print(user.name, user.active, user.version)


asyncio.run(main())
