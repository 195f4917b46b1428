"""Frames of real fines, out of each kind of store."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.servers import new_schema

from hitherto import Repository, connect
from hitherto.examples.traffic_fines import Fine, sample_lines
from hitherto.examples.traffic_fines.events import FineCreated, PaymentReceived
from hitherto.examples.traffic_fines.importing import history_of
from hitherto.frames import event_batches, events_frame

pytestmark = pytest.mark.integration

LINES = sample_lines()[:300]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def fines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Repository[Fine]]:
    """Three hundred fines of the log."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'fines.db'}"}
    if request.param in urls:
        store = connect(urls[request.param])
    else:
        store = connect(request.getfixturevalue("postgres_url"), schema=new_schema())
    async with store:
        fines = Repository(store, Fine)
        await store.import_events(history_of(LINES))
        yield fines


async def test_each_event_is_a_row_with_its_own_fields(fines: Repository[Fine]) -> None:
    """In the log's order, whatever the store, and across the pages that it is read in."""
    log = [recorded async for recorded in fines.store.read_all()]
    table = await events_frame(fines, as_="arrow")
    rows = table.to_pylist()
    assert len(rows) == len(log) > 1000
    for row, recorded in zip(rows, log, strict=True):
        assert row["position"] == recorded.position
        assert row["stored_at"] == recorded.stored_at
        fields = {name: getattr(recorded.event, name) for name in recorded.event.__struct_fields__}
        assert {name: row[name] for name in fields} == fields
        others = {"amount", "expense", "points", "last_sent"} - fields.keys()
        assert all(row[name] is None for name in others)


async def test_a_sum_of_a_frame_is_the_sum_of_the_events(fines: Repository[Fine]) -> None:
    """To the cent."""
    paid = sum(
        [
            recorded.event.amount
            async for recorded in fines.store.read_all()
            if isinstance(recorded.event, PaymentReceived)
        ]
    )
    frame = await events_frame(fines, FineCreated | PaymentReceived)
    sums = frame.groupby("event_type")["amount"].sum()
    assert sums["PaymentReceived"] == paid > Decimal(1000)


async def test_batches_are_made_while_the_log_is_read(fines: Repository[Fine]) -> None:
    """One may stop in the middle; of one fine all is told."""
    batches = event_batches(fines, rows=400)
    first = await anext(batches)
    await batches.aclose()
    assert first.num_rows == 400
    fine = first.column("aggregate_id")[0].as_py()
    alone = await events_frame(fines, aggregates=[fine], as_="polars")
    assert alone["version"].to_list() == list(range(1, (await fines.load(fine)).version + 1))
