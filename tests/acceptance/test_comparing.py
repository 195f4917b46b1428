"""Two versions of the code, compared on 2,000 real fines, in each store."""

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.versions_of_fine import Failing, FailingToo, OffByACent, Rewritten, touched

from hitherto import Aggregate, Repository, Store, connect
from hitherto.application.comparing import Compared, Pair, compare
from hitherto.application.folding import Folding
from hitherto.application.refolding import all_ids
from hitherto.examples.traffic_fines import Fine, history_of, sample_lines

FIELDS = Fine.definition.fields
Kind = Callable[[str], Aggregate[Any]]


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.integration)]
)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_schema: str
) -> AsyncIterator[Store]:
    """A store with the sample."""
    if request.param == "postgres":
        opened = connect(request.getfixturevalue("postgres_url"), schema=postgres_schema)
    else:
        opened = connect(
            {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/f.db"}[request.param]
        )
    async with opened as store:
        Repository(store, Fine)
        await store.import_events(history_of(sample_lines()))
        yield store


async def compared(store: Store, old: Kind, new: Kind, show: int = 10) -> Compared:
    """What comes of it, in this process."""
    sides = [Folding(Repository(store, each), FIELDS) for each in (old, new)]
    ids = all_ids(store.backend.aggregate_ids, "Fine")
    return await compare(store.backend, "Fine", [Pair(*sides)], ids, show=show)


async def test_a_cent_is_found_in_exactly_the_fines_that_it_touches(store: Store) -> None:
    """Since the payment, in the one field, with both values."""
    expected = touched()
    assert 10 < len(expected) < 100
    found = await compared(store, Fine, OffByACent, show=1000)
    assert (found.aggregates, found.events) == (2000, 8033)
    assert {each.aggregate_id: each.version for each in found.differences} == expected
    assert found.differing == len(expected)
    assert found.fields == {"paid": len(expected)}
    assert found.event_types == {"PaymentReceived": len(expected)}
    assert (found.old_fails, found.new_fails, found.both_fail) == (0, 0, 0)
    for each in found.differences:
        (stored,) = await store.read(
            each.aggregate_id, from_version=each.version, to_version=each.version
        )
        assert (each.event_type, each.position) == (stored.event_type, stored.position)
        assert (each.stored_at, each.occurred_at) == (stored.stored_at, stored.occurred_at)
        (change,) = each.fields
        old, new = (Decimal(json.loads(bytes(text))) for text in (change.old, change.new))  # type: ignore[arg-type]
        fine = Fine(each.aggregate_id)
        fine.fold((await Repository(store, Fine).history(fine.id))[: each.version])
        assert (old, new) == (fine.paid, fine.paid + Decimal("0.01"))


async def test_an_equivalent_rewrite_differs_nowhere(store: Store) -> None:
    """Though no line of it is the same, and a set has become a tuple."""
    found = await compared(store, Fine, Rewritten)
    assert (found.aggregates, found.differing, found.both_fail) == (2000, 0, 0)
    assert (found.differences, found.failures) == ((), ())
    assert found.fields == found.event_types == {}


async def test_the_first_by_id_are_told_of(store: Store) -> None:
    """The others are counted."""
    expected = touched()
    found = await compared(store, OffByACent, Fine, show=3)
    assert [each.aggregate_id for each in found.differences] == sorted(expected)[:3]
    assert found.differing == len(expected)


async def test_what_one_version_cannot_fold_differs(store: Store) -> None:
    """With the error; and the event is that at which it fails."""
    expected = touched()
    found = await compared(store, Fine, Failing, show=1000)
    assert {each.aggregate_id: each.version for each in found.differences} == expected
    assert (found.old_fails, found.new_fails, found.both_fail) == (0, len(expected), 0)
    assert found.event_types == {"PaymentReceived": len(expected)}
    assert found.fields == {}
    assert {(each.old_error, each.new_error) for each in found.differences} == {
        (None, "ZeroDivisionError: too much")
    }


async def test_what_both_fail_to_fold_alike_is_no_difference(store: Store) -> None:
    """It is told on its own; where they fail otherwise, they differ."""
    expected = touched()
    found = await compared(store, Failing, Failing, show=1000)
    assert (found.differing, found.both_fail) == (0, len(expected))
    assert {each.aggregate_id: each.version + 1 for each in found.failures} == expected
    assert {each.error for each in found.failures} == {"ZeroDivisionError: too much"}
    found = await compared(store, Failing, FailingToo)
    assert (found.differing, found.both_fail) == (len(expected), 0)
    assert (found.old_fails, found.new_fails) == (len(expected), len(expected))
    first = found.differences[0]
    assert (first.old_error, first.new_error) == ("ZeroDivisionError: too much", "KeyError: 'much'")
