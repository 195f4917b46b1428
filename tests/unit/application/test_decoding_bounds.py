"""Whatever was written into the store, reading it ends in an error of hitherto's at the worst."""

import re
import sys
import threading
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitherto import Aggregate, Event, EventSerializationFailed, JsonCodec, Repository
from hitherto.application.records import Append, NewEvent
from hitherto.application.store import Store
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.repository_contract.base import Recorder

DEEP = 100_000


class Link(msgspec.Struct, frozen=True):
    """A type that holds itself."""

    next: "Link | None" = None
    several: tuple["Link", ...] = ()


class Written(Event):
    """Something of any shape."""

    count: int = 0
    anything: Any = None
    named: Mapping[str, Any] = {}
    link: Link | None = None
    numbers: tuple[float, ...] = ()
    lists: tuple[tuple[int, ...], ...] = ()


class Page(Aggregate[Written]):
    """Remembers it."""

    count: int = 0
    last: Written | None = None

    def apply(self, event: Written) -> None:
        self.count += event.count
        self.last = event


def lists(depth: int) -> str:
    return "[" * depth + "]" * depth


def objects(depth: int, key: str = "a") -> str:
    return f'{{"{key}":' * depth + "null" + "}" * depth


NESTED = {
    "a list of any type": f'{{"anything":{lists(DEEP)}}}',
    "an object of any type": f'{{"named":{objects(DEEP)}}}',
    "a type that holds itself": f'{{"link":{objects(DEEP, "next")}}}',
    "a type that holds several of itself": '{"link":' + '{"several":[' * DEEP + "]}" * DEEP + "}",
    "a list that nobody asked for": f'{{"count":1,"more":{lists(DEEP)}}}',
    "an object that nobody asked for": f'{{"count":1,"more":{objects(DEEP)}}}',
    "a list that does not end": '{"anything":' + "[" * DEEP,
}


FITS = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="there the stack itself is the limit, and this fits"
)
CASES = [
    pytest.param(data, id=name, marks=[FITS] if "nobody" in name else [])
    for name, data in NESTED.items()
]


async def stored(data: str, *, metadata: str | None = None, **options: Any) -> Store:
    """A store with the page "p-1" of one event, as another tool wrote it."""
    store = Store(MemoryStore(), **options)
    event = NewEvent(
        event_id=uuid4(),
        event_type="Written",
        schema_version=1,
        data=data,
        metadata=metadata,
        occurred_at=datetime.now(UTC),
    )
    await store.backend.append(
        [Append(aggregate_id="p-1", aggregate_type="Page", expected_version=0, events=(event,))]
    )
    return store


@pytest.mark.parametrize("data", CASES)
async def test_an_event_that_is_nested_too_deep_cannot_be_decoded(data: str) -> None:
    """On each way of reading it, and never at the price of the process."""
    store = await stored(data, codec=JsonCodec(max_payload=10**8))
    pages = Repository(store, Page)
    for reading in (pages.load("p-1"), pages.history("p-1"), store.read("p-1"), _all_of(store)):
        with pytest.raises(EventSerializationFailed, match="'p-1' at version 1 cannot be decoded"):
            await reading


@pytest.mark.parametrize("data", NESTED.values(), ids=NESTED.keys())
def test_a_thread_with_a_small_stack_survives_it_too(data: str) -> None:
    """As the one of hitherto.sync, where the system gives threads less."""
    decode = JsonCodec(max_payload=10**8).decoder(Written)
    ended: list[Exception] = []

    def run() -> None:
        try:
            decode(data)
        except (ValueError, RecursionError) as error:
            ended.append(error)

    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert len(ended) == 1


@pytest.mark.parametrize(
    "metadata",
    [objects(DEEP), f'{{"actor":{lists(DEEP)}}}', "[]", "null", '"text"', "{", "7", '{"a":1}' * 2],
    ids=lambda text: text[:8],
)
async def test_metadata_that_cannot_be_decoded_are_told_of(metadata: str) -> None:
    """Only where they are read: the aggregate can be loaded."""
    store = await stored('{"count":1}', metadata=metadata)
    pages = Repository(store, Page)
    for reading in (pages.history("p-1"), store.read("p-1"), _all_of(store)):
        with pytest.raises(EventSerializationFailed, match="metadata of 'p-1' at version 1"):
            await reading
    assert (await pages.load("p-1")).count == 1


async def test_long_metadata_cannot_be_decoded() -> None:
    """They have the limit of events."""
    store = await stored(
        "{}", metadata='{"actor":"' + "x" * 100 + '"}', codec=JsonCodec(max_payload=99)
    )
    with pytest.raises(EventSerializationFailed, match=r"metadata of 'p-1' .*max_payload=99"):
        await Repository(store, Page).history("p-1")


@pytest.mark.parametrize(
    "data",
    [
        f'{{"last":{{"anything":{lists(DEEP)}}}}}',
        f'{{"last":{{"named":{objects(DEEP)}}}}}',
        f'{{"last":{{"link":{objects(DEEP, "next")}}}}}',
        pytest.param(f'{{"more":{lists(DEEP)}}}', marks=FITS),
        '{"count":777,"last":{"anything":"' + "x" * 1024 * 1024 + '"}}',
    ],
    ids=["list", "object", "type", "skipped", "long"],
)
async def test_a_snapshot_that_is_too_deep_or_too_long_is_replaced(data: str) -> None:
    """The events tell the truth."""
    hooks = Recorder()
    store = await stored('{"count":1}', instrumentation=hooks)
    pages = Repository(store, Page, snapshot_every=1)
    assert await pages.snapshot(await pages.load("p-1"))
    good = await store.backend.read_snapshot("p-1")
    assert good is not None
    spoiled = msgspec.structs.replace(good, data=data)
    assert await store.backend.save_snapshot(spoiled, replacing=1)
    hooks.told.clear()
    assert (await pages.load("p-1")).count == 1
    assert hooks.of("snapshot_unusable") == [("Page",)]
    assert await store.backend.read_snapshot("p-1") == good


async def test_an_event_that_is_longer_than_allowed_is_not_decoded() -> None:
    """With what to do about it; a longer limit lets it pass."""
    data = '{"anything":"' + "x" * 1000 + '"}'
    store = await stored(data, codec=JsonCodec(max_payload=1000))
    with pytest.raises(EventSerializationFailed, match=r"takes 1015 characters .*max_payload=1000"):
        await Repository(store, Page).load("p-1")
    store = await stored(data, codec=JsonCodec(max_payload=1015))
    assert (await Repository(store, Page).load("p-1")).version == 1


@pytest.mark.parametrize(("times", "share"), [(1, 3.0), (30, 0.01)])
def test_refusing_text_takes_little_memory(times: int, share: float) -> None:
    """Not the many times that its values would take; hardly any, where it is hopelessly long."""
    decode = JsonCodec(max_payload=100_000).decoder(Written)
    text = '{"lists":[' + ",".join(["[]"] * 250_000 * times) + "]}"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="max_payload"):
            decode(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < share * len(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.sampled_from([1e308, -5e-324, 1.7976931348623157e308, 1e16, 1e-5, 1.5e-7, 0.1]),
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**63), 2**63 - 1).map(float),
        ),
        max_size=40,
    ),
    st.lists(st.lists(st.integers(-9, 9), max_size=3), max_size=10),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
)
def test_what_could_be_stored_can_be_read_from_the_text_that_postgresql_makes_of_it(
    numbers: list[float], several: list[list[int]], text: str
) -> None:
    """With the very limit that let it pass: spaces and zeros do not count."""
    event = Written(
        numbers=tuple(numbers), lists=tuple(map(tuple, several)), named={text: text}, anything=text
    )
    encoded = JsonCodec().encode(event)
    exact = JsonCodec(max_payload=len(encoded.encode()))
    assert exact.encode(event) == encoded
    assert exact.decoder(Written)(as_jsonb(encoded)) == event


def as_jsonb(text: str) -> str:
    """Numbers without exponents, and spaces after commas and colons."""

    def rewritten(token: re.Match[str]) -> str:
        if token[0] in ",:":
            return f"{token[0]} "
        return token[0] if token[0].startswith('"') else format(Decimal(token[0]), "f")

    return re.sub(r'"(?:\\.|[^"\\])*"|-?\d[\d.eE+-]*|[,:]', rewritten, text)


async def _all_of(store: Store) -> list[Any]:
    return [event async for event in store.read_all()]
