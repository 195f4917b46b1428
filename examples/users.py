"""A user who is created, changed and deactivated: the aggregate, and a run through its life.

Run it with ``python examples/users.py``. It keeps its events in memory; pass a store's URL, such
as ``sqlite:///users.db``, to keep them.
"""

import asyncio
import re
import sys
from typing import Self
from uuid import uuid4

from hitherto import Aggregate, Event, InvalidAggregateState, InvalidInput, Repository, connect


class UserCreated(Event):
    email: str
    name: str


class UserRenamed(Event):
    name: str


class UserEmailChanged(Event):
    email: str


class UserDeactivated(Event):
    reason: str


UserEvent = UserCreated | UserRenamed | UserEmailChanged | UserDeactivated


class User(Aggregate[UserEvent]):
    email: str = ""
    name: str = ""
    active: bool = False

    @classmethod
    def create(cls, user_id: str, email: str, name: str) -> Self:
        user = cls(user_id)
        user.record(UserCreated(email=_checked_email(email), name=_checked_name(name)))
        return user

    def rename(self, name: str) -> None:
        self._check_active()
        name = _checked_name(name)
        if name != self.name:
            self.record(UserRenamed(name=name))

    def change_email(self, email: str) -> None:
        self._check_active()
        if _checked_email(email) != self.email:
            self.record(UserEmailChanged(email=email))

    def deactivate(self, reason: str) -> None:
        self._check_active()
        self.record(UserDeactivated(reason=reason))

    def apply(self, event: UserEvent) -> None:
        match event:
            case UserCreated(email=email, name=name):
                self.email, self.name, self.active = email, name, True
            case UserRenamed(name=name):
                self.name = name
            case UserEmailChanged(email=email):
                self.email = email
            case UserDeactivated():
                self.active = False

    def _check_active(self) -> None:
        if not self.active:
            raise InvalidAggregateState(f"user {self.id} is not active")


def _checked_email(email: str) -> str:
    # Whether an address exists only a message to it can tell; this catches slips.
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise InvalidInput(f"{email!r} is no email address: write it as name@example.com")
    return email


def _checked_name(name: str) -> str:
    if not name.strip():
        raise InvalidInput("the name is empty")
    return name.strip()


async def main(url: str = "memory:") -> None:
    async with connect(url) as store:
        users = Repository(store, User)
        user = User.create(f"user-{uuid4()}", "john@example.com", "John Doe")
        await users.save(user)
        await users.update(user.id, lambda user: user.rename("John A. Doe"))
        await users.update(user.id, lambda user: user.change_email("doe@example.com"))
        await users.update(user.id, lambda user: user.deactivate("left"))
        try:
            await users.update(user.id, lambda user: user.rename("Johnny"))
        except InvalidAggregateState as error:
            print("refused:", error)
        for recorded in await users.history(user.id):
            print(recorded.version, recorded.event)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
