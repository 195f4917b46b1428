"""What the tests of the domain share: an account, and a time zone that tells no offset."""

# ruff: noqa: RUF012  # mutable defaults are copied for each aggregate

from datetime import datetime, tzinfo
from decimal import Decimal
from typing import ClassVar

from hitherto import Aggregate, Event


class Nowhere(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: Decimal


class OtherDeposited(Event, type="Deposited"):
    amount: int


class Closed(Event):
    pass


AccountEvent = Opened | Deposited


class Account(Aggregate[AccountEvent]):
    limit: ClassVar[int] = 10
    text_limit: "ClassVar[int]" = 10
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Decimal] = []
    by_name: dict[str, list[int]] = {"x": []}
    never: int

    def deposit(self, amount: int) -> None:
        self.record(Deposited(amount=Decimal(amount)))

    def apply(self, event: AccountEvent) -> None:
        match event:
            case Opened(owner=owner):
                self.owner = owner
            case Deposited(amount=amount):
                self.balance += amount
                self.entries.append(amount)
