"""What cannot be stored or read is told to the field."""

from typing import Any

import msgspec
import pytest

from hitherto import Aggregate, Event, EventSerializationFailed, Repository, connect


class Money:
    """A class that no codec knows."""


class Paid(Event):
    by: str
    amount: Money


class Fine(Aggregate[Paid]):
    def apply(self, event: Paid) -> None:
        """Forget it."""


async def test_a_value_of_an_unknown_type_is_told_with_class_field_and_line() -> None:
    """Before anything is written."""
    async with connect("memory:") as store:
        fine = Fine("fine-1")
        fine.record(Paid(by="ann", amount=Money()))
        told = r"^Paid\.amount \(.*test_culprits\.py:\d+\) cannot be stored: .*Money is unsupported"
        with pytest.raises(EventSerializationFailed, match=told):
            await Repository(store, Fine).save(fine)


async def test_a_name_that_is_not_there_at_run_time_is_told_with_class_field_and_line() -> None:
    """As where it is imported for type checkers only."""

    class Sent(Event):
        to: str
        parcel: "Parcel"  # type: ignore[name-defined]  # noqa: F821

    class Shipment(Aggregate[Sent]):
        def apply(self, event: Sent) -> None:
            """Forget it."""

    told = r"Sent\.parcel \(.*test_culprits\.py:\d+\) cannot be decoded: name 'Parcel'"
    async with connect("memory:") as store:
        with pytest.raises(TypeError, match=told):
            Repository(store, Shipment)


async def test_of_many_fields_the_one_that_cannot_be_decoded_is_told() -> None:
    """Not the class alone."""

    class Cash(msgspec.Struct, frozen=True):
        cents: int

    class Card(msgspec.Struct, frozen=True):
        number: str

    class Settled(Event):
        at: str
        means: Cash | Card

    class Bill(Aggregate[Settled]):
        def apply(self, event: Settled) -> None:
            """Forget it."""

    async with connect("memory:") as store:
        repository: Any = Repository
        with pytest.raises(TypeError, match=r"Settled\.means \(.*:\d+\) cannot be decoded: .*tag"):
            repository(store, Bill)
