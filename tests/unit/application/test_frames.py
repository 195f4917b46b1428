"""`hitherto.frames`: events as columns, typed by their classes' annotations."""

import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pyarrow  # type: ignore[import-untyped]
import pytest

from hitherto import (
    Aggregate,
    ConfigurationError,
    Event,
    EventSerializationFailed,
    InvalidInput,
    Metadata,
    Personal,
    Repository,
    Store,
    connect,
    sync,
)
from hitherto.frames import event_batches, events_frame
from hitherto.sync import frames as blocking

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Grade(IntEnum):
    LOW = 1


class Spot(msgspec.Struct, frozen=True):
    x: int
    label: str | None = None


class Chain(msgspec.Struct, frozen=True):
    name: str
    inner: "Chain | None" = None


@dataclass(frozen=True)
class Size:
    width: float


class Pair(NamedTuple):
    one: int
    two: UUID


class Keyed(TypedDict):
    key: date


ID = UUID(int=7)
MOMENT = pyarrow.timestamp("us", tz="UTC")
# The annotation, a value, its type in Arrow, and what is read there.
ANNOTATED: dict[str, tuple[Any, Any, Any, Any]] = {
    "bool": (bool, True, pyarrow.bool_(), True),
    "int": (int, -(2**63), pyarrow.int64(), -(2**63)),
    "float": (float, 1.5, pyarrow.float64(), 1.5),
    "str": (str, "ä", pyarrow.string(), "ä"),
    "bytes": (bytes, b"\0", pyarrow.binary(), b"\0"),
    "datetime": (
        datetime,
        datetime(2026, 3, 1, 14, tzinfo=UTC) - timedelta(microseconds=1),
        MOMENT,
        datetime(2026, 3, 1, 13, 59, 59, 999999, tzinfo=UTC),
    ),
    "date": (date, date(2026, 3, 1), pyarrow.date32(), date(2026, 3, 1)),
    "a time, that may have a zone": (time, time(1, 2), pyarrow.string(), '"01:02:00"'),
    "timedelta": (timedelta, timedelta(1, 2, 3), pyarrow.duration("us"), timedelta(1, 2, 3)),
    "Decimal": (Decimal, Decimal("1.25"), pyarrow.decimal128(38, 9), Decimal("1.25")),
    "UUID": (UUID, ID, pyarrow.string(), str(ID)),
    "an enum of texts": (Colour, Colour.BLUE, pyarrow.string(), "blue"),
    "an enum of numbers": (Grade, Grade.LOW, pyarrow.int64(), 1),
    "a literal": (Literal["a", "b"], "b", pyarrow.string(), "b"),
    "a literal or none": (Literal["a"] | None, None, pyarrow.string(), None),
    "literals of two types": (Literal["a", 1], 1, pyarrow.string(), "1"),
    "a value": (int | None, 5, pyarrow.int64(), 5),
    "no value": (int | None, None, pyarrow.int64(), None),
    "a value left out": (int | msgspec.UnsetType, msgspec.UNSET, pyarrow.int64(), None),
    "a tuple": (tuple[UUID, ...], (ID,), pyarrow.list_(pyarrow.string()), [str(ID)]),
    "a tuple of one type": (tuple[int, int], (1, 2), pyarrow.list_(pyarrow.int64()), [1, 2]),
    "a tuple of two types": (tuple[int, str], (1, "a"), pyarrow.string(), '[1,"a"]'),
    "a frozenset": (frozenset[int], frozenset([3]), pyarrow.list_(pyarrow.int64()), [3]),
    "a mapping": (
        Mapping[str, Decimal],
        {"a": Decimal("0.5")},
        pyarrow.map_(pyarrow.string(), pyarrow.decimal128(38, 9)),
        [("a", Decimal("0.5"))],
    ),
    "a struct": (
        Spot,
        Spot(x=1),
        pyarrow.struct([("x", pyarrow.int64()), ("label", pyarrow.string())]),
        {"x": 1, "label": None},
    ),
    "structs": (
        tuple[Spot, ...],
        (Spot(x=2, label="b"),),
        pyarrow.list_(pyarrow.struct([("x", pyarrow.int64()), ("label", pyarrow.string())])),
        [{"x": 2, "label": "b"}],
    ),
    "a dataclass": (
        Size,
        Size(2.5),
        pyarrow.struct([("width", pyarrow.float64())]),
        {"width": 2.5},
    ),
    "a named tuple": (
        Pair,
        Pair(1, ID),
        pyarrow.struct([("one", pyarrow.int64()), ("two", pyarrow.string())]),
        {"one": 1, "two": str(ID)},
    ),
    "a typed dict": (
        Keyed,
        {"key": date(2026, 1, 2)},
        pyarrow.struct([("key", pyarrow.date32())]),
        {"key": date(2026, 1, 2)},
    ),
    "what holds itself": (
        Chain,
        Chain("a", Chain("b")),
        pyarrow.struct([("name", pyarrow.string()), ("inner", pyarrow.string())]),
        {"name": "a", "inner": '{"name":"b","inner":null}'},
    ),
    "a union": (int | str, "a", pyarrow.string(), '"a"'),
    "anything": (Any, {"a": [1]}, pyarrow.string(), '{"a":[1]}'),
    "a personal field": (Personal[str], "Ada", pyarrow.string(), "Ada"),
    "a limited one": (
        Annotated[int, msgspec.Meta(ge=1, extra_json_schema={"a": 1})],
        4,
        pyarrow.int64(),
        4,
    ),
}


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with connect("memory:") as store:
        yield store


@pytest.mark.parametrize("what", ANNOTATED)
async def test_an_annotation_gives_a_column_its_type(what: str, store: Store) -> None:
    """And a value is found there as it was, or as JSON where Arrow has no one type for it."""
    annotation, value, arrow_type, read = ANNOTATED[what]
    body: dict[str, Any] = {"__annotations__": {"value": annotation}}
    if value is msgspec.UNSET:
        body["value"] = value
    make: Any = type(Event)
    made = make("Made", (Event,), body)
    aggregate: Any = Aggregate
    kind: Any = type(
        "Kind",
        (Aggregate,),
        {"__orig_bases__": (aggregate[made],), "apply": lambda self, event: None},
    )
    things: Any = Repository(store, kind)
    thing = kind("thing-1")
    thing.record(made(value=value))
    await things.save(thing)
    table = await events_frame(things, as_="arrow")
    assert table.schema.field("value").type == arrow_type
    assert table.column("value").to_pylist() == [read]


class Bought(Event):
    price: Decimal
    version: int


class Sold(Event):
    price: Decimal
    note: str = ""


class Weighed(Event):
    note: int


class Thing(Aggregate[Bought | Sold | Weighed]):
    def apply(self, event: Bought | Sold | Weighed) -> None:
        """Forget it."""


Things = Repository[Thing]


@pytest.fixture
async def things(store: Store) -> Things:
    """Two things, with five events."""
    things = Repository(store, Thing)
    lasts: tuple[Sold | Weighed, ...] = (Sold(price=Decimal(3)), Weighed(note=7))
    for number, last in enumerate(lasts, 1):
        thing = Thing(f"thing-{number}")
        thing.record(Bought(price=Decimal("2.50"), version=number), occurred_at=NOON)
        thing.record(last, occurred_at=NOON + timedelta(hours=number))
        await things.save(thing, metadata=Metadata(actor="ann", extra={"shop": number}))
    thing = await things.load("thing-2")
    thing.record(Sold(price=Decimal(4), note="gone"), occurred_at=NOON + timedelta(hours=9))
    await things.save(thing)
    return things


async def test_fields_of_one_name_and_type_are_one_column(things: Things) -> None:
    """Others have columns of their own, and so has what is named like a column about the event."""
    table = await events_frame(things, as_="arrow")
    names = table.schema.names
    assert [name for name in names if "price" in name] == ["price"]
    assert [name for name in names if "note" in name] == ["Sold.note", "Weighed.note"]
    assert table.column("Weighed.note").to_pylist() == [None, None, None, 7, None]
    assert table.column("version").to_pylist() == [1, 2, 1, 2, 3]
    assert table.column("Bought.version").to_pylist() == [1, None, 2, None, None]


async def test_what_is_known_about_an_event_is_there(things: Things) -> None:
    """Under the names of `RecordedEvent` and of the metadata."""
    (first, *_) = (await events_frame(things, as_="arrow")).to_pylist()
    (recorded, *_) = await things.history("thing-1")
    for name in ("position", "event_type", "schema_version", "aggregate_id", "aggregate_type"):
        assert first[name] == getattr(recorded, name)
    assert first["event_id"] == str(recorded.event_id)
    assert (first["occurred_at"], first["stored_at"]) == (NOON, recorded.stored_at)
    assert (first["actor"], first["correlation_id"]) == ("ann", None)
    assert first["metadata"] == '{"shop":1}'


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        ({"types": Sold}, [2, 5]),
        ({"types": [Sold, Weighed]}, [2, 4, 5]),
        ({"aggregates": ["thing-2"]}, [3, 4, 5]),
        ({"aggregates": ["thing-2", "thing-1"], "types": Bought | Sold, "after": 1}, [2, 3, 5]),
        ({"aggregates": ["nobody"]}, []),
        ({"after": 2}, [3, 4, 5]),
        ({"after": 1, "until": 3}, [2, 3]),
        ({"until": 0}, []),
        ({"after": 99}, []),
        ({"occurred_from": NOON + timedelta(hours=1)}, [2, 4, 5]),
        ({"occurred_before": NOON + timedelta(hours=1)}, [1, 3]),
        ({"where": lambda recorded: getattr(recorded.event, "note", "") == "gone"}, [5]),
    ],
)
async def test_only_what_is_wanted_is_told(
    wanted: dict[str, Any], positions: list[int], things: Things
) -> None:
    """Of a repository, and of its store alike; in order."""
    for source in (things, things.store):
        table = await events_frame(source, as_="arrow", columns=["position"], **wanted)
        assert table.schema.names == ["position"]
        assert table.column("position").to_pylist() == positions


async def test_a_repository_tells_of_its_aggregates_alone(things: Things) -> None:
    """Its store of all."""

    class Other(Aggregate[Weighed]):
        def apply(self, event: Weighed) -> None:
            """Forget it."""

    others = Repository(things.store, Other)
    other = Other("other-1")
    other.record(Weighed(note=1))
    await others.save(other)
    assert (await events_frame(others, as_="arrow")).num_rows == 1
    assert (await events_frame(things, as_="arrow")).num_rows == 5
    assert (await events_frame(things.store, as_="arrow")).num_rows == 6


async def test_batches_hold_so_many_rows_and_one_schema(things: Things) -> None:
    """The last one holds what is left."""
    batches = [batch async for batch in event_batches(things, rows=2)]
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert len({str(batch.schema) for batch in batches}) == 1


async def test_it_ends_at_the_watermark_of_its_start(things: Things) -> None:
    """However much is appended while it is read."""
    batches = event_batches(things, rows=1)
    rows = (await anext(batches)).num_rows
    thing = await things.load("thing-1")
    thing.record(Weighed(note=1))
    await things.save(thing)
    rows += sum([batch.num_rows async for batch in batches])
    assert rows == 5


@pytest.mark.parametrize(
    ("price", "told"),
    [
        (
            Decimal("0.0000000001"),
            r"price of the Sold at position 6 does not fit decimal128\(38, 9\)",
        ),
        (Decimal(10) ** 29, r"texts=\['price'\]"),
    ],
)
async def test_a_decimal_that_would_lose_digits_is_refused(
    price: Decimal, told: str, things: Things
) -> None:
    """The error names column, event and remedy; as text it is exact."""
    thing = await things.load("thing-1")
    thing.record(Sold(price=price))
    await things.save(thing)
    with pytest.raises(EventSerializationFailed, match=told):
        await events_frame(things, as_="arrow")
    table = await events_frame(things, as_="arrow", texts=["price"])
    assert Decimal(table.column("price")[-1].as_py().strip('"')) == price


async def test_an_int_above_64_bits_is_refused(things: Things) -> None:
    """Another class's field of the name is no matter."""
    thing = await things.load("thing-1")
    thing.record(Weighed(note=2**63))
    await things.save(thing)
    with pytest.raises(
        EventSerializationFailed, match=r"^Weighed\.note of the Weighed at position 6"
    ):
        await events_frame(things, as_="arrow")
    table = await events_frame(things, as_="arrow", texts=["Weighed.note"])
    assert table.column("Weighed.note")[-1].as_py() == str(2**63)


async def test_fields_that_differ_are_one_column_as_text(things: Things) -> None:
    """If that is asked for by their name."""
    table = await events_frame(things, as_="arrow", texts=["note"])
    assert table.column("note").to_pylist() == [None, '""', None, "7", '"gone"']


async def test_pandas_and_polars_keep_the_types(things: Things) -> None:
    """A whole number stays one where other rows have none."""
    frame = await events_frame(things)
    assert str(frame["Weighed.note"].dtype) == "int64[pyarrow]"
    assert frame["price"].sum() == Decimal(12)
    assert str(frame["occurred_at"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    other = await events_frame(things, as_="polars")
    assert str(other.schema["Weighed.note"]) == "Int64"
    assert str(other.schema["occurred_at"]) == "Datetime(time_unit='us', time_zone='UTC')"
    assert other["price"].sum() == Decimal(12)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"as_": "numpy"}, "as_='numpy': give 'pandas', 'polars' or 'arrow'"),
        (
            {"columns": ["positoin"]},
            "columns has 'positoin', but the columns are position, event_id",
        ),
        ({"columns": "position"}, r"columns='position': give a list, such as \['position'\]"),
        ({"texts": ["nothing"]}, "texts has 'nothing'"),
        ({"aggregates": "thing-1"}, r"aggregates='thing-1': give a list"),
        ({"aggregates": [""]}, "aggregate id is empty"),
        ({"after": -1}, "after=-1"),
        ({"after": 3, "until": 2}, "until=2 is before after=3"),
        ({"rows": 0}, "rows=0: give 1 or more"),
        ({"columns": []}, "columns is empty"),
        ({"texts": ["position"]}, "texts has 'position', but the columns are"),
        ({"occurred_from": datetime(2026, 1, 1)}, "occurred_from=2026-01-01 .* no time zone"),  # noqa: DTZ001
        ({"types": [int]}, "is not a subclass of Event"),
        ({"types": "Sold"}, "give a list"),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused_before_anything_is_read(
    wanted: dict[str, Any], told: str, things: Things
) -> None:
    """It names the argument and what to give."""
    await things.store.close()
    with pytest.raises(InvalidInput, match=told):
        await events_frame(things, **wanted)


async def test_a_store_that_knows_no_class_is_refused(store: Store) -> None:
    """With the remedy."""
    with pytest.raises(InvalidInput, match="give it types"):
        await events_frame(store)


async def test_an_event_of_an_unknown_aggregate_is_not_left_out(things: Things) -> None:
    """Without a word."""
    other = connect("memory:")
    other.backend = things.store.backend

    class Unlike(Aggregate[Sold], type="unlike"):
        def apply(self, event: Sold) -> None:
            """Forget it."""

    Repository(other, Unlike)
    with pytest.raises(EventSerializationFailed, match="'Thing', which no repository"):
        await events_frame(other)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("pyarrow", r"pip install 'hitherto\[frames\]'"),
        ("pandas", "as_='pandas' needs pandas: pip install pandas"),
    ],
)
async def test_a_library_that_is_missing_is_named(
    missing: str, told: str, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=told):
        await events_frame(things)


def test_without_await_it_is_the_same() -> None:
    """As in a notebook."""
    with sync.connect("memory:") as store:
        things = sync.Repository(store, Thing)
        for number in range(5):
            thing = Thing(f"thing-{number}")
            thing.record(Weighed(note=number))
            things.save(thing)
        assert list(blocking.events_frame(things)["Weighed.note"]) == [0, 1, 2, 3, 4]
        frame = blocking.events_frame(store, Weighed, as_="polars", columns=["note"], after=1)
        assert frame["note"].to_list() == [1, 2, 3, 4]
        batches = blocking.event_batches(things, rows=2)
        assert next(batches).num_rows == 2
        batches.close()
        rows = [batch.num_rows for batch in blocking.event_batches(things, rows=2)]
        assert rows == [2, 2, 1]
