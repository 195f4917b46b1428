"""Long and deep JSON in PostgreSQL: what was stored can be read, and what another tool wrote is
refused where it is too much."""

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from hitherto import Aggregate, Event, EventSerializationFailed, JsonCodec, Repository, connect

pytestmark = pytest.mark.integration

LONG = "jsonb_build_object('{}', repeat('x', 2000000))"
DEEP = "repeat('[', 5000) || repeat(']', 5000)"


class Measured(Event):
    """Of several kinds, so that the server has something to rewrite."""

    numbers: tuple[float, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    named: Mapping[str, Any] = {}


class Gauge(Aggregate[Measured]):
    """Keeps the last one."""

    last: Measured | None = None

    def apply(self, event: Measured) -> None:
        self.last = event


@pytest.mark.parametrize("server", ["postgres_url", "debian_postgres_url"])
async def test_an_event_at_the_limit_can_be_read_again(
    server: str, request: pytest.FixtureRequest, postgres_schema: str
) -> None:
    """Though the server writes it with spaces, and 1e308 with all its zeros."""
    event = Measured(
        numbers=(1e308, -5e-324, 1.7976931348623157e308, 1e16, 1.5e-7, 1e-5, 0.1) * 100,
        pairs=((1, 2), (3, 4)) * 100,
        named={'"quoted" \\ \n\t\x01 é 🦉 1e308 0000000': [None, True, 12345678901234567]},
    )
    length = len(JsonCodec().encode(event).encode())
    url = request.getfixturevalue(server)
    async with connect(url, schema=postgres_schema, max_payload=length) as store:
        gauges = Repository(store, Gauge, snapshot_every=None)
        gauge = Gauge("g-1")
        gauge.record(event)
        await gauges.save(gauge)
        assert (await gauges.load("g-1")).last == event
        assert [each.event for each in await gauges.history("g-1")] == [event]
        (stored,) = await store.backend.read("g-1")
        assert len(stored.data) > 10 * length
    async with connect(url, schema=postgres_schema, max_payload=length // 2) as store:
        with pytest.raises(EventSerializationFailed, match=f"max_payload={length // 2}"):
            await Repository(store, Gauge).load("g-1")


@pytest.mark.parametrize(
    ("data", "metadata", "told"),
    [
        (LONG.format("named"), "NULL", "event 'Measured' .*max_payload"),
        (LONG.format("more"), "NULL", "event 'Measured' .*max_payload"),
        pytest.param(
            f"('{{\"named\":{{\"a\":' || {DEEP} || '}}}}')::jsonb",
            "NULL",
            "'Measured' .*recursion",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 14), reason="there the stack itself is the limit"
            ),
        ),
        ("'{}'", LONG.format("actor"), "metadata .*max_payload"),
        ("'{}'", f"({DEEP})::jsonb", "metadata "),
        ("'{}'", "'[]'", "metadata "),
    ],
    ids=["long", "long and unknown", "deep", "long metadata", "deep metadata", "no object"],
)
async def test_what_another_tool_wrote_is_refused_where_it_is_too_much(
    data: str, metadata: str, told: str, postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """By an error that says which event it is."""
    async with connect(postgres_url, schema=postgres_schema) as store:
        await admin.execute(
            f"""INSERT INTO {postgres_schema}.event_store (event_id, event_type, aggregate_id,
                aggregate_type, event_version, event_data, metadata, occurred_at)
            VALUES (gen_random_uuid(), 'Measured', 'g-1', 'Gauge', 1, {data}, {metadata}, now())"""
        )
        gauges = Repository(store, Gauge)
        with pytest.raises(EventSerializationFailed, match=told):
            await gauges.history("g-1")
        with pytest.raises(EventSerializationFailed, match="'g-1' at version 1"):
            _ = [event async for event in store.read_all()]
        if metadata == "NULL":
            with pytest.raises(EventSerializationFailed, match=told):
                await gauges.load("g-1")
