"""`why`: the tree of causes, in all shapes that metadata can tell."""

import json
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from hitherto.application.looking.causes import Cause, why
from hitherto.application.looking.values import Wanted
from hitherto.application.records import Append, LogPage, NewEvent
from hitherto.application.store import utc_now
from hitherto.errors import InvalidInput
from hitherto.infrastructure.memory import MemoryStore


@pytest_asyncio.fixture
async def store() -> AsyncGenerator[MemoryStore]:
    backend = MemoryStore()
    await backend.open()
    yield backend
    await backend.close()


async def stored(
    store: MemoryStore,
    name: str,
    cause: object = None,
    correlation: str | None = None,
    event_id: UUID | None = None,
) -> UUID:
    """An event of this type, and its id."""
    told = {"causation_id": cause and str(cause), "correlation_id": correlation}
    event = NewEvent(
        event_id=event_id or uuid4(),
        event_type=name,
        schema_version=1,
        data="{}",
        metadata=json.dumps({key: value for key, value in told.items() if value is not None}),
        occurred_at=utc_now(),
    )
    append = Append(
        aggregate_id=str(uuid4()), aggregate_type="Thing", expected_version=0, events=(event,)
    )
    await store.append([append])
    return event.event_id


def drawn(cause: Cause) -> object:
    """A tree in short: names, and below them what came of them."""
    name = cause.event.event_type if cause.event is not None else cause.id
    return (name, [drawn(each) for each in cause.effects]) if cause.effects else name


async def test_the_tree_begins_at_the_root_and_has_all_that_came_of_it(store: MemoryStore) -> None:
    """Whichever of its events is asked for."""
    root = await stored(store, "root")
    left = await stored(store, "left", root)
    right = await stored(store, "right", root)
    leaf = await stored(store, "leaf", left)
    await stored(store, "stranger")
    for asked in (root, left, right, leaf):
        found = await why(store, asked)
        assert found.asked.event_id == asked
        assert drawn(found.root) == ("root", [("left", ["leaf"]), "right"])
        assert (list(found.correlated), found.correlation_id, list(found.stops)) == ([], None, [])


async def test_an_event_alone_is_its_own_root(store: MemoryStore) -> None:
    """It has no cause and no effect."""
    found = await why(store, await stored(store, "alone"))
    assert drawn(found.root) == "alone"


async def test_the_root_may_be_no_event(store: MemoryStore) -> None:
    """But a command, a message from elsewhere, or a timer; siblings are told too."""
    for cause in ("command-1", str(uuid4()), "timer:a:unpaid"):
        first = await stored(store, "first", cause)
        await stored(store, "second", cause)
        found = await why(store, first)
        assert found.root.event is None
        assert drawn(found.root) == (cause, ["first", "second"])


async def test_a_cause_is_known_in_any_spelling_of_its_id(store: MemoryStore) -> None:
    """On the way up, and in what has the same correlation id."""
    root = await stored(store, "root", correlation="c")
    asked = await stored(store, "asked", str(root).upper(), correlation="c")
    await stored(store, "other", root.hex, correlation="c")
    assert drawn((await why(store, asked)).root) == ("root", ["asked", "other"])


async def test_effects_may_come_before_their_causes(store: MemoryStore) -> None:
    """As in a log that was imported aggregate by aggregate."""
    root = uuid4()
    effect = await stored(store, "effect", root)
    await stored(store, "root", event_id=root)
    assert drawn((await why(store, effect)).root) == ("root", ["effect"])


async def test_others_with_the_correlation_id_are_told_apart(store: MemoryStore) -> None:
    """The tree may leave the correlation, and the correlation the tree."""
    asked = await stored(store, "asked", correlation="c")
    await stored(store, "effect", asked, correlation="c")
    inner = await stored(store, "elsewhere", asked, correlation="d")
    await stored(store, "deeper", inner)
    await stored(store, "beside", correlation="c")
    found = await why(store, asked)
    assert drawn(found.root) == ("asked", ["effect", ("elsewhere", ["deeper"])])
    assert found.correlation_id == "c"
    assert [each.event_type for each in found.correlated] == ["beside"]


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_causes_in_a_circle_come_to_an_end(store: MemoryStore, length: int) -> None:
    """Each event is told once, and that there is a circle."""
    ids = [uuid4() for _ in range(length)]
    for number, each in enumerate(ids):
        await stored(store, str(number), ids[number - 1], event_id=each)
    found = await why(store, ids[0])
    assert sorted(names(found.root)) == [str(number) for number in range(length)]
    assert "circle" in found.stops[0]


async def test_a_deep_chain_is_cut_and_says_so(store: MemoryStore) -> None:
    """Above and below, where it is longer than asked for."""
    ids = [await stored(store, "0")]
    for number in range(1, 12):
        ids.append(await stored(store, str(number), ids[-1]))
    found = await why(store, ids[6], depth=3)
    assert names(found.root) == ["3", "4", "5", "6"]
    assert any("steps up" in each for each in found.stops)
    assert any("steps down" in each for each in found.stops)
    assert not (await why(store, ids[6], depth=11)).stops


async def test_a_broad_tree_is_cut_and_says_so(store: MemoryStore) -> None:
    """What led to the event, and what came of it, is told first."""
    asked = await stored(store, "asked", "command-1")
    for _ in range(20):
        await stored(store, "sibling", "command-1")
    await stored(store, "effect", asked)
    found = await why(store, asked, limit=5)
    told = names(found.root)
    assert len(told) == 6, "the command, and five events"
    assert {"asked", "effect"} <= set(told)
    assert "more than 5" in found.stops[0]
    assert not (await why(store, asked, limit=23)).stops


async def test_a_broad_correlation_is_cut_and_says_so(store: MemoryStore) -> None:
    """It may be all of an import."""
    asked = await stored(store, "asked", correlation="c")
    for _ in range(9):
        await stored(store, "other", correlation="c")
    found = await why(store, asked, limit=5)
    assert len(found.correlated) <= 5
    assert "more than 5" in found.stops[0]


async def test_what_has_the_correlation_id_costs_no_search_for_each_step(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However deep the tree is: a search looks through the whole log."""
    ids = [await stored(store, "0", correlation="c")]
    for number in range(1, 20):
        ids.append(await stored(store, str(number), ids[-1], correlation="c"))
    searched: list[Wanted] = []
    search = store.looking.search

    async def counted(wanted: Wanted, **options: object) -> LogPage:
        searched.append(wanted)
        return await search(wanted, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store.looking, "search", counted)
    found = await why(store, ids[10])
    assert names(found.root) == [str(number) for number in range(20)]
    assert len(searched) <= 3


async def test_an_unknown_event_and_bounds_without_sense_are_refused(store: MemoryStore) -> None:
    """The error names them."""
    unknown = uuid4()
    with pytest.raises(InvalidInput, match=str(unknown)):
        await why(store, unknown)
    for bounds in ({"depth": 0}, {"depth": 201}, {"limit": 0}, {"limit": 100_001}):
        with pytest.raises(InvalidInput, match=next(iter(bounds))):
            await why(store, unknown, **bounds)


def names(cause: Cause) -> list[str]:
    """Of a whole tree, from the top."""
    own = cause.event.event_type if cause.event is not None else cause.id
    return [own, *(name for each in cause.effects for name in names(each))]


async def test_metadata_that_tell_nothing_are_no_obstacle(store: MemoryStore) -> None:
    """Whatever another tool has written there."""
    for metadata in (None, "[]", "5", '{"causation_id": ""}', '{"causation_id": {"a": 1}}'):
        event = NewEvent(
            event_id=uuid4(), event_type="odd", schema_version=1, data="{}", metadata=metadata,
            occurred_at=utc_now(),
        )  # fmt: skip
        append = Append(
            aggregate_id=str(uuid4()), aggregate_type="Thing", expected_version=0, events=(event,)
        )
        await store.append([append])
        assert names((await why(store, event.event_id)).root)[-1:] == ["odd"]
