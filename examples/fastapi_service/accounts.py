"""Accounts, and the view that shows the richest."""

from dataclasses import dataclass
from typing import Self

from hitherto import Aggregate, Documents, Event, InvalidAggregateState, InvalidInput, RecordedEvent


class AccountOpened(Event):
    owner: str


class Deposited(Event):
    cents: int


class Withdrawn(Event):
    cents: int


AccountEvent = AccountOpened | Deposited | Withdrawn


class Account(Aggregate[AccountEvent]):
    owner: str = ""
    cents: int = 0

    @classmethod
    def open(cls, account_id: str, owner: str) -> Self:
        if not owner.strip():
            raise InvalidInput("the owner is empty: give a name")
        account = cls(account_id)
        account.record(AccountOpened(owner=owner.strip()))
        return account

    def deposit(self, cents: int) -> None:
        self.record(Deposited(cents=_checked(cents)))

    def withdraw(self, cents: int) -> None:
        if _checked(cents) > self.cents:
            raise InvalidAggregateState(f"{self.cents} cents are less than {cents}")
        self.record(Withdrawn(cents=cents))

    def apply(self, event: AccountEvent) -> None:
        match event:
            case AccountOpened(owner=owner):
                self.owner = owner
            case Deposited(cents=cents):
                self.cents += cents
            case Withdrawn(cents=cents):
                self.cents -= cents


@dataclass(frozen=True, slots=True)
class Balance:
    """What the view keeps of an account."""

    owner: str
    cents: int = 0


class Balances(Documents[Balance, AccountEvent]):
    """A balance for each account, which can be sought and sorted."""

    def evolve(self, document: Balance | None, recorded: RecordedEvent[AccountEvent]) -> Balance:
        before = document or Balance(owner="")
        match recorded.event:
            case AccountOpened(owner=owner):
                return Balance(owner)
            case Deposited(cents=cents):
                return Balance(before.owner, before.cents + cents)
            case Withdrawn(cents=cents):
                return Balance(before.owner, before.cents - cents)


def _checked(cents: int) -> int:
    if cents <= 0:
        raise InvalidInput(f"cents={cents}: give more than 0")
    return cents
