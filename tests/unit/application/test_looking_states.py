"""States at a version, and which event changed what."""

import json
from collections.abc import AsyncGenerator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from hitherto import Aggregate, AggregateNotFound, Event, Repository, Store, connect
from hitherto.application.looking import states
from hitherto.application.looking.states import Change, changes, state_at
from hitherto.application.records import Snapshot
from hitherto.errors import InvalidInput


class Added(Event):
    item: str
    price: Decimal


class Noted(Event):
    day: date


class Basket(Aggregate[Added | Noted]):
    items: list[str] = []  # noqa: RUF012
    total: Decimal = Decimal(0)
    days: set[date] = set()  # noqa: RUF012
    unset: str

    def apply(self, event: Added | Noted) -> None:
        match event:
            case Added(item=item, price=price):
                self.items.append(item)
                self.total += price
            case Noted(day=day):
                self.days.add(day)


@pytest_asyncio.fixture
async def store() -> AsyncGenerator[Store]:
    async with connect("memory:") as opened:
        yield opened


@pytest_asyncio.fixture
async def baskets(store: Store) -> Repository[Basket]:
    """With one of four events."""
    repository = Repository(store, Basket, snapshot_every=None)
    basket = Basket("b-1")
    basket.record(Added(item="tea", price=Decimal("2.50")))
    basket.record(Noted(day=date(2024, 2, 1)))
    basket.record(Noted(day=date(2024, 1, 1)))
    basket.record(Added(item="milk", price=Decimal("1.00")))
    await repository.save(basket)
    return repository


def plain(state: states.State) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in state.items()}


def told(change: Change) -> tuple[str, str, list[int]]:
    assert change.after is not None
    return change.field, bytes(change.after).decode(), [each.version for each in change.events]


async def test_a_state_has_the_fields_that_are_set(baskets: Repository[Basket]) -> None:
    """At any version; at 0 they have their defaults."""
    assert plain(await state_at(baskets, "b-1", 4)) == {
        "items": ["tea", "milk"], "total": "3.50", "days": ["2024-01-01", "2024-02-01"],
    }  # fmt: skip
    assert plain(await state_at(baskets, "b-1", 1)) == {
        "items": ["tea"], "total": "2.50", "days": [],
    }  # fmt: skip
    assert plain(await state_at(baskets, "b-1", 0)) == {"items": [], "total": "0", "days": []}


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_changes_name_the_fields_and_what_changed_them(
    baskets: Repository[Basket], page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that is changed in place too."""
    monkeypatch.setattr(states, "_PAGE", page)
    found = await changes(baskets, "b-1", 0, 4)
    assert [told(each) for each in found] == [
        ("items", '["tea","milk"]', [1, 4]),
        ("total", '"3.50"', [1, 4]),
        ("days", '["2024-01-01","2024-02-01"]', [2, 3]),
    ]
    assert [each.before for each in found] == [
        msgspec.Raw(b"[]"), msgspec.Raw(b'"0"'), msgspec.Raw(b"[]"),
    ]  # fmt: skip
    (days,) = await changes(baskets, "b-1", 2, 3)
    assert told(days) == ("days", '["2024-01-01","2024-02-01"]', [3])


async def test_a_field_that_has_its_value_again_has_not_changed(
    store: Store, baskets: Repository[Basket]
) -> None:
    """Whatever was in between."""
    basket = await baskets.load("b-1")
    basket.record(Added(item="", price=Decimal(-1)))
    basket.record(Added(item="", price=Decimal("1.00")))
    await baskets.save(basket)
    assert [each.field for each in await changes(baskets, "b-1", 4, 6)] == ["items"]


async def test_a_look_writes_nothing(store: Store, baskets: Repository[Basket]) -> None:
    """A snapshot that is of no use stays as it is: it may be what is looked into."""
    bad = Snapshot(
        aggregate_id="b-1", aggregate_type="Basket", version=4, fingerprint="other", data="{}"
    )
    await store.backend.save_snapshot(bad)
    await state_at(baskets, "b-1", 4)
    await changes(baskets, "b-1", 1, 4)
    assert await store.backend.read_snapshot("b-1") == bad


async def test_versions_that_are_not_there_are_refused(baskets: Repository[Basket]) -> None:
    """And those that are out of order."""
    with pytest.raises(AggregateNotFound):
        await state_at(baskets, "b-1", 5)
    for low, high in ((5, 6), (2, 9)):
        with pytest.raises(AggregateNotFound):
            await changes(baskets, "b-1", low, high)
    for low, high in ((3, 3), (3, 2), (-1, 2)):
        with pytest.raises(InvalidInput, match=str(low)):
            await changes(baskets, "b-1", low, high)


async def test_what_json_cannot_tell_is_told_as_python_shows_it(store: Store) -> None:
    """A state may hold anything, if no snapshot is taken."""

    class Odd(Aggregate[Noted]):
        value: Any = 3 + 2j
        pairs: Any = {(1, 2): 3}  # noqa: RUF012
        rate: float = float("nan")
        torn: str = "\ud800"

        def apply(self, event: Noted) -> None:
            self.value = {date(2024, 1, 1): object}

    repository = Repository(store, Odd, snapshot_every=None)
    odd = Odd("o-1")
    odd.record(Noted(day=date(2024, 1, 1)))
    await repository.save(odd)
    assert plain(await state_at(repository, "o-1", 0)) == {
        "value": "(3+2j)",
        "pairs": "{(1, 2): 3}",
        "rate": "nan",
        "torn": r"'\ud800'",
    }
    assert plain(await state_at(repository, "o-1", 1))["value"] == {
        "2024-01-01": "<class 'object'>"
    }


async def test_a_set_that_was_made_in_another_order_has_not_changed(store: Store) -> None:
    """Nor a dict: what is equal is told in the same way."""

    class Bag(Aggregate[Noted]):
        things: Any = {0, 8}  # noqa: RUF012
        prices: Any = {"a": 1, "b": 2}  # noqa: RUF012

        def apply(self, event: Noted) -> None:
            self.things, self.prices = {8, 0}, {"b": 2, "a": 1}

    assert list({0, 8}) != list({8, 0})
    repository = Repository(store, Bag, snapshot_every=None)
    bag = Bag("b-1")
    bag.record(Noted(day=date(2024, 1, 1)))
    await repository.save(bag)
    assert not await changes(repository, "b-1", 0, 1)
