"""What is stored, read by today's code, in each store: which change breaks how many events."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import msgspec
import pytest

from hitherto import Aggregate, Event, InvalidInput, Personal, Repository, Store, connect
from hitherto.application.checking.changes import changes
from hitherto.application.checking.describing import definitions_of, described
from hitherto.application.checking.schemas import Schemas, merged
from hitherto.application.checking.stored import Stored, stored_shapes
from hitherto.application.checking.tallying import SHAPES
from hitherto.application.ids import time_ordered_id
from hitherto.application.records import Append, NewEvent
from hitherto.examples.traffic_fines import Fine, history_of, sample_lines


class Line(msgspec.Struct, frozen=True):
    product: str
    price: Decimal


class OrderPlaced(Event):
    amount: Decimal
    lines: tuple[Line, ...] = ()
    note: str | None = None
    labels: Mapping[str, int] = {}


class OrderShipped(Event):
    weight: float


class Order(Aggregate[OrderPlaced | OrderShipped]):
    amount: Decimal = Decimal(0)

    def apply(self, event: OrderPlaced | OrderShipped) -> None:
        if isinstance(event, OrderPlaced):
            self.amount = event.amount


PLACED = '{"amount": "1.5", "lines": [], "note": null, "labels": {}}'


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.integration)]
)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_schema: str
) -> AsyncIterator[Store]:
    """An empty one."""
    if request.param == "postgres":
        opened = connect(request.getfixturevalue("postgres_url"), schema=postgres_schema)
    else:
        opened = connect(
            {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/o.db"}[request.param]
        )
    async with opened as store:
        yield store


async def by_hand(
    store: Store,
    *rows: str,
    event_type: str = "OrderPlaced",
    schema: int = 1,
    aggregate_type: str = "Order",
) -> None:
    """Store some JSON that no code has encoded."""
    events = [
        NewEvent(
            event_id=time_ordered_id(),
            event_type=event_type,
            schema_version=schema,
            data=data,
            metadata=None,
            occurred_at=datetime.now(UTC),
        )
        for data in rows
    ]
    append = Append(
        aggregate_id=str(time_ordered_id()),
        aggregate_type=aggregate_type,
        expected_version=0,
        events=tuple(events),
    )
    await store.backend.append([append])


async def checked(
    store: Store, *kinds: Any, known: Schemas | None = None, sample: int | None = None
) -> Stored:
    """What comes of it."""
    definitions = definitions_of(kinds or [Order])
    return await stored_shapes(store.backend, store.codec, definitions, known or {}, sample=sample)


def found(stored: Stored) -> set[tuple[str, str | None, int | None]]:
    """Of each problem the kind, the field and the number of events."""
    return {(each.kind, each.field, each.events) for each in stored.problems}


async def test_what_the_code_has_written_is_sound(store: Store) -> None:
    """Each event is decoded; of each shape it is told where it is."""
    orders = Repository(store, Order)
    for number in range(5):
        order = Order(f"o-{number}")
        line = Line(product="p", price=Decimal("1e5"))
        order.record(OrderPlaced(amount=Decimal("1.50"), lines=(line,) * number, labels={"x": 1}))
        order.record(OrderShipped(weight=1e16 if number else 2.0))
        await orders.save(order)
    stored = await checked(store)
    assert stored.problems == ()
    assert stored.events == 10
    told = {(each.event_type, each.shape): each.events for each in stored.shapes}
    placed = {shape: n for (name, shape), n in told.items() if name == "OrderPlaced"}
    assert placed == {
        "{amount: str, labels: {*: int}, lines: [], note: null}": 1,
        "{amount: str, labels: {*: int}, lines: [{price: str, product: str}], note: null}": 4,
    }
    first = stored.shapes[0]
    assert (first.first, first.last, first.aggregate_id, first.version) == (1, 1, "o-0", 1)
    assert stored.shapes[1].last == 9


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ('{"amount": 1.5}', {("not-as-written", "amount", 1)}),
        ('{"amount": "1.5", "amuont": "2"}', {("key-unread", "amuont", 1)}),
        (
            '{"amount": "1.5", "lines": [{"product": "p", "price": 2, "sku": 1}]}',
            {("not-as-written", "lines[].price", 1), ("key-unread", "lines[].sku", 1)},
        ),
        ("{}", {("undecodable", None, 1), ("not-as-written", "amount", 1)}),
        ('{"amount": "much"}', {("undecodable", None, 1)}),
        (
            '{"amount": true}',
            {("undecodable", None, 1), ("not-as-written", "amount", 1)},
        ),
        (
            '{"amount": "1", "labels": {"a": 1.5}}',
            {("undecodable", None, 1), ("not-as-written", "labels[]", 1)},
        ),
        ('{"amount": "1.5"}', set()),  # As before the other fields came.
    ],
)
async def test_events_stored_by_hand_are_caught(
    store: Store, data: str, problems: set[tuple[str, str | None, int | None]]
) -> None:
    """Though the decoder takes most of them."""
    await by_hand(store, PLACED, data, PLACED)
    stored = await checked(store)
    assert found(stored) == problems
    for each in stored.problems:
        assert (each.aggregate_type, each.event_type, each.schema) == ("Order", "OrderPlaced", 1)
        assert each.position == 2
        assert each.remedy


async def test_names_and_schemas_that_no_code_knows_are_caught(store: Store) -> None:
    """With the number of events of each."""
    await by_hand(store, PLACED)
    await by_hand(store, "{}", "{}", event_type="OrderLost")
    await by_hand(store, PLACED, schema=2)
    await by_hand(store, "{}", event_type="Opened", aggregate_type="Account")
    await by_hand(store, "{}", event_type="Closed", aggregate_type="Account")
    stored = await checked(store)
    told = {(each.kind, each.event_type, each.schema, each.events) for each in stored.problems}
    assert told == {
        ("type-unknown", "OrderLost", 1, 2),
        ("schema-newer", "OrderPlaced", 2, 1),
        ("aggregate-unknown", None, None, 2),
    }


class OrderPlaced2(Event, type="OrderPlaced"):
    amount: float
    note: str | None = None
    currency: str


class Order2(Aggregate[OrderPlaced2 | OrderShipped], type="Order"):
    def apply(self, event: OrderPlaced2 | OrderShipped) -> None:
        pass


async def test_a_change_is_told_with_the_events_that_it_breaks(store: Store) -> None:
    """By the file and by the store."""
    await by_hand(store, *[PLACED] * 7)
    await by_hand(store, '{"weight": 1.0}', event_type="OrderShipped")
    known = described(definitions_of([Order]))
    stored = await checked(store, Order2, known=known)
    today = described(definitions_of([Order2]))
    told = [stored.counted(each) for each in changes(known, today) if each.breaks]
    assert {(each.kind, each.field, each.events, each.undecodable) for each in told} == {
        ("type-changed", "amount", 7, 7),
        ("field-removed", "lines", 7, 7),
        ("field-removed", "labels", 7, 7),
        ("field-required", "currency", 7, 7),
    }
    assert found(stored) == {
        ("undecodable", None, 7),
        ("key-unread", "lines", 7),
        ("key-unread", "labels", 7),
    }


class OrderPlaced3(Event, type="OrderPlaced", schema=2):
    cents: int


@OrderPlaced3.upcast(1)
def _(fields: dict[str, Any]) -> dict[str, Any]:
    return {"cents": int(Decimal(fields["amount"]) * 100)}


class Order3(Aggregate[OrderPlaced3], type="Order"):
    def apply(self, event: OrderPlaced3) -> None:
        pass


@Order3.upcast("OrderShipped")
def _(_: dict[str, Any]) -> list[OrderPlaced3]:
    return []


async def test_upcasters_are_judged_by_what_they_do_to_each_event(store: Store) -> None:
    """And what was written in an old schema by what the file knows of that."""
    odd = '{"amount": 2, "lines": [], "amuont": ""}'
    await by_hand(store, PLACED, '{"amount": "one"}', odd)
    await by_hand(store, '{"weight": 1.0}', '{"wait": 1.0}', event_type="OrderShipped")
    blind = await checked(store, Order3)
    assert found(blind) == {("undecodable", None, 1)}
    assert "the upcaster for schema 1 raised InvalidOperation" in blind.problems[0].what
    known = merged(described(definitions_of([Order])), described(definitions_of([Order3])))
    stored = await checked(store, Order3, known=known)
    assert found(stored) == {
        ("undecodable", None, 1),
        ("not-as-written", "amount", 1),
        ("not-as-written", "amuont", 1),
        ("not-as-written", "weight", 1),
        ("not-as-written", "wait", 1),
    }


async def test_a_field_that_was_dropped_with_an_update_is_missed_by_nobody(store: Store) -> None:
    """The file has it on record."""
    await by_hand(store, '{"amount": 1.5, "lines": [], "note": null, "labels": {}, "currency": ""}')
    today = described(definitions_of([Order2]))
    assert found(await checked(store, Order2, known=today)) == {
        ("key-unread", "lines", 1),
        ("key-unread", "labels", 1),
    }
    known = merged(described(definitions_of([Order])), today)
    assert found(await checked(store, Order2, known=known)) == set()


class Joined(Event):
    age: Personal[int | None] = None


class Person(Aggregate[Joined]):
    def apply(self, event: Joined) -> None:
        pass


async def test_what_was_forgotten_of_a_person_is_no_fault(store: Store) -> None:
    """A text stands where a number was written."""
    await by_hand(store, '{"age": "[redacted]"}', event_type="Joined", aggregate_type="Person")
    stored = await checked(store, Person)
    assert (stored.events, found(stored)) == (1, set())


async def test_shapes_are_bounded(store: Store) -> None:
    """And so are problems, where keys are data; faults are found among the others, too."""
    rows = [json.dumps({"amount": "1", f"key{number}": 1}) for number in range(SHAPES + 50)]
    await by_hand(store, *rows, '{"amount": 1}')
    stored = await checked(store)
    assert len(stored.shapes) == SHAPES + 1
    assert stored.shapes[-1].shape == "…"
    assert stored.shapes[-1].events == 51
    assert ("not-as-written", "amount", 1) in found(stored)
    assert ("key-unread", "…", 50) in found(stored)
    assert len(stored.problems) == SHAPES + 2


async def test_a_sample_is_drawn_from_all_parts_of_the_log(store: Store) -> None:
    """Of each type so many, those that are rare whole, the first ones always."""
    Repository(store, Fine)
    await store.import_events(history_of(sample_lines()))
    await by_hand(store, "{}", event_type="FineLost", aggregate_type="Fine")
    await by_hand(store, "{}", event_type="FineCreated", aggregate_type="Parking")
    whole = await checked(store, Fine)
    stored = await checked(store, Fine, sample=60)
    lost = {("type-unknown", "Fine", "FineLost"), ("aggregate-unknown", "Parking", None)}
    assert {(each.kind, each.aggregate_type, each.event_type) for each in stored.problems} == lost
    counts = dict[str, list[Any]]()
    for each in stored.shapes:
        counts.setdefault(each.event_type, []).append(each)
    events = {name: sum(each.events for each in shapes) for name, shapes in counts.items()}
    assert events["JudgeAppealed"] == 56
    assert 60 <= events["FineCreated"] <= 120
    assert stored.events < 1000 < whole.events == 8035
    last = max(each.last for each in counts["FineCreated"])
    first = {each.event_type: each.first for each in reversed(whole.shapes)}
    assert last > 7000
    assert {name: min(each.first for each in shapes) for name, shapes in counts.items()} == first


async def test_a_sample_reads_no_more_than_it_says(store: Store) -> None:
    """One event of each type, and one of each type of aggregate."""
    await by_hand(store, *[PLACED] * 50)
    stored = await checked(store, sample=1)
    assert stored.events == 2
    with pytest.raises(InvalidInput, match="at least 1"):
        await checked(store, sample=0)


def test_rows_put_in_by_sql_are_caught_in_sqlite(tmp_path: Path) -> None:
    """By whoever has the file."""
    url = f"sqlite:///{tmp_path}/o.db"

    async def run(rows: Sequence[str]) -> Stored:
        async with connect(url) as store:
            if rows:
                await by_hand(store, *rows)
            return await checked(store)

    asyncio.run(run([PLACED]))
    connection = apsw.Connection(f"{tmp_path}/o.db")
    connection.execute(
        """INSERT INTO event_store (event_id, event_type, aggregate_id, aggregate_type,
               event_version, schema_version, event_data, occurred_at, created_at)
           SELECT '0195d1a0-0000-7000-8000-000000000000', event_type, 'o-9', aggregate_type, 1, 1,
               '{"amount": 1.5, "lines": []}', occurred_at, created_at FROM event_store"""
    )
    connection.close()
    assert found(asyncio.run(run([]))) == {("not-as-written", "amount", 1)}


@pytest.mark.integration
async def test_rows_put_in_by_sql_are_caught_in_postgres(
    postgres_url: str, postgres_schema: str
) -> None:
    """By whoever has the right to."""
    async with connect(postgres_url, schema=postgres_schema) as store:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(
            f"""INSERT INTO "{postgres_schema}".event_store (event_id, event_type, aggregate_id,
                    aggregate_type, event_version, schema_version, event_data, occurred_at)
                VALUES (gen_random_uuid(), 'OrderPlaced', 'o-9', 'Order', 1, 1,
                    '{{"amount": 1.50, "lines": []}}', now())"""
        )
        await connection.close()
        assert found(await checked(store)) == {("not-as-written", "amount", 1)}
