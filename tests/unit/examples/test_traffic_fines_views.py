"""The example's views tell what the fines themselves come to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest_asyncio

from hitherto import Key, ProjectionWorker, Repository, Store, connect
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine, fine_of, history_of, sample_lines
from hitherto.examples.traffic_fines.views import Fines, document, outstanding, top_unpaid


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Store]:
    """The sample's fines, on SQLite."""
    async with connect(f"sqlite:///{folder}/fines.db") as store:
        Repository(store, Fine)
        await store.import_events(history_of(sample_lines()))
        yield store


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with opened(tmp_path) as store:
        yield store


async def test_the_views_agree_with_the_aggregates(store: Store) -> None:
    """Every fine's document, the totals to the cent, and the order of the top."""
    await ProjectionWorker(store, Fines(), spread=True, batch=300).catch_up()
    fines = [fine_of(line) for line in sample_lines()]
    documents = await store.documents(Fines).find()
    assert documents.keys() == {fine.id for fine in fines}
    expected: dict[Key, dict[str, int | Decimal]] = {}
    for fine in fines:
        found = documents[fine.id]
        assert (found.outstanding, found.paid) == (fine.outstanding, fine.paid)
        assert (found.amount, found.expense, found.dismissed) == (
            fine.amount, fine.expense, fine.dismissed,
        )  # fmt: skip
        group = expected.setdefault(
            (found.year, found.article), {"fines": 0, "unpaid": 0, "outstanding": Decimal(0)}
        )
        group["fines"] += 1
        group["unpaid"] += fine.outstanding > 0
        group["outstanding"] += fine.outstanding
    nonzero = {
        key: {name: amount for name, amount in amounts.items() if amount}
        for key, amounts in expected.items()
    }
    found_totals = await outstanding(store)
    assert found_totals == nonzero
    assert all(found_totals[key]["unpaid"] == expected[key]["unpaid"] for key in expected)
    top = await top_unpaid(store, 20)
    amounts = sorted((fine.outstanding for fine in fines), reverse=True)
    assert [each.outstanding for each in top.values()] == amounts[:20]
    some = fines[0]
    assert await document(store, some.id) == documents[some.id]


def test_one_command_builds_them(tmp_path: Path) -> None:
    """From the log."""

    async def fill() -> None:
        async with opened(tmp_path):
            pass

    async def look() -> None:
        async with opened(tmp_path) as store:
            totals = await outstanding(store)
            assert sum(amounts["fines"] for amounts in totals.values()) == len(sample_lines())
            assert totals == await Fines().fold_totals(store)

    asyncio.run(fill())
    words = "projections run hitherto.examples.traffic_fines.views:Fines --until-caught-up --url"
    assert run([*words.split(), f"sqlite:///{tmp_path}/fines.db"]) == 0
    asyncio.run(look())
