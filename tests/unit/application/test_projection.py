"""What a projection is refused for, when it is defined and when it is used."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.contract.projecting import Account, Deposited, Opened, deposit

from hitherto import (
    Context,
    Documents,
    InvalidInput,
    Projection,
    ProjectionError,
    ProjectionWorker,
    Store,
    Totals,
    connect,
    on,
    projection,
)
from hitherto.application.checkpoints import Generation
from hitherto.application.projection import Batch
from hitherto.infrastructure.memory import MemoryStore


class Purse(msgspec.Struct, frozen=True):
    coins: int


class Loose(Documents[Any, Opened], name="counted"):
    def evolve(self, document: Any, recorded: Any) -> Any:
        return {"coin": 1}


def test_tables_are_a_list() -> None:
    """A text would be taken letter by letter."""
    with pytest.raises(InvalidInput, match=r"\['balances'\]"):
        type("Bad", (Projection,), {}, tables="balances")


@pytest.mark.parametrize("table", ["Upper", "a b", "x;y", "a.b.c", "", "x" * 51])
def test_a_table_has_a_plain_name(table: str) -> None:
    """It is written into SQL."""
    with pytest.raises(InvalidInput, match="table"):
        type("Bad", (Projection,), {}, tables=[table])


@pytest.mark.parametrize("version", [0, -1, "2", 2**31])
def test_a_version_is_a_number_from_one(version: Any) -> None:
    """The error names it."""
    with pytest.raises(InvalidInput, match="version"):
        type("Bad", (Projection,), {}, version=version)


def test_a_table_that_was_not_named_is_refused() -> None:
    """It would not be put in place after a rebuild."""
    generation = Generation(name="view", number=1, version=1, state="active", partitions=1)
    batch = Batch(None, generation, False, [], ("known",))
    assert batch.table("known") == "known"
    with pytest.raises(InvalidInput, match="'typo'"):
        batch.table("typo")


def test_a_projection_that_does_nothing_is_refused() -> None:
    """A forgotten @on would let the checkpoint move past everything."""

    class Forgotten(Projection[Any]):
        def paid(self, event: Deposited, context: Context[Any]) -> None:
            pass

    with pytest.raises(InvalidInput, match="Forgotten"):
        ProjectionWorker(Store(MemoryStore()), Forgotten())


def test_a_worker_wants_an_instance() -> None:
    """Not a class, as readers do."""
    given: Any = Loose
    with pytest.raises(InvalidInput, match=r"Loose.*is a class: give an instance"):
        ProjectionWorker(Store(MemoryStore()), given)


def test_documents_evolve_without_waiting() -> None:
    """On PostgreSQL too, where handlers are async."""

    class Hasty(Documents[int, Opened]):
        async def evolve(self, document: int | None, recorded: Any) -> int:  # type: ignore[override]
            return 1

    with pytest.raises(InvalidInput, match=r"Hasty\.evolve: make it a plain function"):
        ProjectionWorker(Store(MemoryStore()), Hasty())


async def test_a_document_that_other_code_has_made_is_told() -> None:
    """With what lets the old view be read, and what fills a new one."""

    class Strict(Documents[Purse, Opened], name="counted"):
        pass

    async with connect("memory:") as store:
        await deposit(store, "a")
        await ProjectionWorker(store, Loose()).catch_up()
        documents = store.documents(Strict)
        for reading in documents.get("a"), documents.find():
            with pytest.raises(ProjectionError, match=r"'counted'.*of 'a'.*`coins`.*version="):
                await reading


async def test_a_field_that_documents_do_not_have_is_refused() -> None:
    """Otherwise nothing would be found; in a dict any field may be."""

    class Purses(Documents[Purse, Opened]):
        pass

    async with connect("memory:") as store:
        for asked in {"coin": 1}, {"order_by": "coin"}:
            with pytest.raises(InvalidInput, match=r"'Purses' have no field 'coin'.*\['coins'\]"):
                await store.documents(Purses).find(**asked)
        assert await store.documents(Purses).find(coins=1, order_by="coins") == {}
        assert await store.documents(Loose).find(coin=1, order_by="coins") == {}


def test_a_handler_is_not_unmarked_by_an_override() -> None:
    """The subclass says @on, too."""

    class Base(Projection[Any]):
        @on
        def paid(self, event: Deposited, context: Context[Any]) -> None:
            pass

    with pytest.raises(InvalidInput, match="paid"):
        type("Child", (Base,), {"paid": lambda self, event, context: None})


def test_a_handler_names_its_event() -> None:
    """By the annotation of its first parameter, which must be there at run time."""
    with pytest.raises(InvalidInput, match="annotated"):
        projection("bad", lambda event, context: None)

    def later(event: "Unheard", context: Any) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(InvalidInput, match="Unheard"):
        projection("bad", later)


def test_documents_can_be_kept_as_json() -> None:
    """That is seen when the class is defined, and not with each event."""

    class Plain:
        pass

    with pytest.raises(InvalidInput, match="Plain"):

        class Bad(Documents[Plain, Deposited]):
            pass


@pytest.mark.parametrize(
    "amounts", [{"owner": {"n": 1}}, {("owner",): {"n": 1.5}}, {(b"x",): {"n": 1}}]
)
async def test_totals_have_plain_keys_and_exact_numbers(amounts: Any) -> None:
    """Else the event is parked with an error that names the projection."""

    class Odd(Totals[Purse, Opened]):
        def evolve(self, document: Purse | None, recorded: Any) -> Purse:
            return Purse(coins=1)

        def amounts(self, document: Purse) -> Any:
            return amounts

    async with connect("memory:") as store:
        await deposit(store, "a")
        await ProjectionWorker(store, Odd(), attempts=1).catch_up()
        (parked,) = await store.backend.checkpoints.parked("Odd")
        assert "'Odd'" in str(parked.error)


async def test_an_event_of_no_aggregate_is_refused() -> None:
    """It would never come; the error says what to import."""

    class Lone(Opened):
        pass

    async with connect("memory:") as store:
        with pytest.raises(InvalidInput, match=r"Lone.*import the aggregate"):
            store.subscribe([Lone])


async def test_a_subscription_goes_on_after_a_wait_that_was_given_up() -> None:
    """Iterated over again, it gives what comes next."""
    async with connect("memory:") as store, store.subscribe(after=0) as events:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(events)), 0.02)
        await deposit(store, "a", 1)
        assert [(await anext(aiter(events))).version for _ in range(2)] == [1, 2]
    assert Account.definition.aggregate_type == "Account"
