"""The aggregates that the tests keep."""

# ruff: noqa: RUF012  # mutable defaults are copied for each aggregate

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Self
from uuid import UUID

import msgspec

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decider
from hitherto.domain.event import Event
from hitherto.errors import InvalidAggregateState


class Opened(Event):
    """An account was opened."""

    owner: str


class Deposited(Event, type="money-deposited"):
    """Money came in."""

    amount: Decimal
    note: str = ""


class Withdrawn(Event, schema=2):
    """Money went out."""

    amount: Decimal
    fee: Decimal = Decimal(0)


AccountEvent = Opened | Deposited | Withdrawn


class Entry(msgspec.Struct, frozen=True):
    """A line of an account."""

    amount: Decimal
    note: str = ""


class Account(Aggregate[AccountEvent]):
    """A bank account."""

    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Entry] = []

    @classmethod
    def open(cls, account_id: str, owner: str = "Ada") -> Self:
        account = cls(account_id)
        account.record(Opened(owner=owner))
        return account

    def deposit(self, amount: int | str, note: str = "") -> Decimal:
        self.record(Deposited(amount=Decimal(amount), note=note))
        return self.balance

    def withdraw(self, amount: int | str) -> Decimal:
        if Decimal(amount) > self.balance:
            raise InvalidAggregateState(f"{self.balance} is less than {amount}")
        self.record(Withdrawn(amount=Decimal(amount)))
        return self.balance

    def apply(self, event: AccountEvent) -> None:
        match event:
            case Opened(owner=owner):
                self.owner = owner
            case Deposited(amount=amount, note=note):
                self.balance += amount
                self.entries.append(Entry(amount, note))
            case Withdrawn(amount=amount, fee=fee):
                self.balance -= amount + fee
                self.entries.append(Entry(-amount - fee))


class Registered(Event):
    """Somebody gave a name."""

    name: str


class Person(Aggregate[Registered]):
    """Another type of aggregate."""

    name: str = ""

    def register(self, name: str) -> None:
        self.record(Registered(name=name))

    def apply(self, event: Registered) -> None:
        self.name = event.name


class Mood(Enum):
    """Some values."""

    GOOD = "good"
    BAD = "bad"


class Everything(Event):
    """An event with a field of each kind."""

    text: str
    whole: int
    fraction: float
    exact: Decimal
    flag: bool
    blob: bytes
    key: UUID
    moment: datetime
    day: date
    mood: Mood
    maybe: str | None
    several: tuple[int, ...]
    unique: frozenset[str]
    named: Mapping[str, int]
    entry: Entry
    anything: Any


class Collector(Aggregate[Everything]):
    """An aggregate whose state has a field of each kind, of which some are never set."""

    last: Everything | None = None
    moods: dict[Mood, int] = {}
    seen: set[str] = set()
    fractions: list[float] = []
    moments: tuple[datetime, ...] = ()
    never_set: int

    def apply(self, event: Everything) -> None:
        self.last = event
        self.moods[event.mood] = self.moods.get(event.mood, 0) + 1
        self.seen |= event.unique
        self.fractions.append(event.fraction)
        self.moments = (*self.moments, event.moment)


class Grew(Event):
    """Something grew."""

    by: int


class Opaque(Aggregate[Grew]):
    """An aggregate whose state has a type that no codec knows."""

    handle: complex | object = None
    size: int = 0

    def apply(self, event: Grew) -> None:
        self.size += event.by


class Divided(Aggregate[Grew]):
    """An aggregate whose state can hold a value that JSON has not."""

    size: float = 0.0

    def apply(self, event: Grew) -> None:
        self.size = self.size + event.by if event.by else float("nan")


class Count(msgspec.Struct, frozen=True):
    """The state of a counter."""

    total: int = 0
    steps: tuple[int, ...] = ()


class Grow(msgspec.Struct, frozen=True):
    """The command to grow."""

    by: int


class Counter(Decider[Count, Grew, Grow], type="counter"):
    """The functional form."""

    initial: Count = Count()

    def decide(self, state: Count, command: Grow) -> list[Grew]:
        if command.by < 0:
            raise InvalidAggregateState(f"{state.total} never shrinks")
        return [Grew(by=1)] * command.by

    def evolve(self, state: Count, event: Grew) -> Count:
        return Count(state.total + event.by, (*state.steps, event.by))


class RenamedTwice(Event):
    """An event that the newer code below knows alone."""

    name: str


class NewerPerson(Aggregate[Registered | RenamedTwice], type="Person"):
    """`Person`, as later code has it."""

    name: str = ""

    def apply(self, event: Registered | RenamedTwice) -> None:
        self.name = event.name
