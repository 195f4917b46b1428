"""Somebody's hand in the tables of a store with hash chains, and what is found of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.acceptance.meddlers import (
    COLUMNS,
    Meddler,
    MemoryMeddler,
    PostgresMeddler,
    Refused,
    SqliteMeddler,
    link_of,
)

from hitherto import EventStoreError, Store
from hitherto.application.canonical import canonical
from hitherto.application.chain.links import content_hash, event_hash
from hitherto.application.chain.signed import SignedCheckpoint, seal
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.application.verifying import Verification, verify
from hitherto.errors import InvalidInput
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing.store_contract.making import NOON, append_to, new_event

LATER = timedelta(microseconds=1)


class Key:
    """Signs nothing, which is tested elsewhere."""

    fingerprint = "none"

    def sign(self, message: bytes) -> bytes:
        return b""


class Hands(NamedTuple):
    """A store with chained events, and somebody who can change its tables."""

    backend: Backend
    meddler: Meddler

    async def verified(self, checkpoint: SignedCheckpoint | None = None) -> Verification:
        return await verify(Store(self.backend), checkpoint=checkpoint)

    async def found(self, checkpoint: SignedCheckpoint | None = None) -> dict[str, int]:
        """How often each kind of damage was found."""
        found: dict[str, int] = {}
        for finding in (await self.verified(checkpoint)).findings:
            found[finding.kind] = found.get(finding.kind, 0) + finding.count
        return found

    async def sealed(self) -> SignedCheckpoint:
        checkpoint, _ = await seal(self.backend, Key(), now=NOON)
        return checkpoint

    async def event(self, aggregate_id: str, version: int) -> StoredEvent:
        return (await link_of(self.backend, (aggregate_id, version))).event


async def fill(backend: Backend) -> None:
    """Two aggregates of five events, and one of one."""
    events = [
        new_event({"number": each, "text": "é\n", "price": 1.5}, metadata='{"actor": "ada"}')
        for each in range(10)
    ]
    chained = Chained(backend)
    await chained.append([append_to("a", events[:3]), append_to("b", events[5:])])
    await chained.append([append_to("a", events[3:5], after=3)])
    await chained.append([append_to("c")])


@asynccontextmanager
async def opened(kind: str, request: pytest.FixtureRequest) -> AsyncGenerator[Hands]:
    backend: Any
    meddler: Meddler
    if kind == "memory":
        backend = MemoryStore()
        meddler = MemoryMeddler(backend)
    elif kind == "sqlite":
        path: Path = request.getfixturevalue("tmp_path") / "store.db"
        backend, meddler = SqliteStore(str(path)), SqliteMeddler(path)
    else:
        url: str = request.getfixturevalue("postgres_url")
        schema: str = request.getfixturevalue("postgres_schema")
        backend = PostgresStore(url, schema=schema, max_connections=4)
        meddler = PostgresMeddler(url, schema)
    await backend.open()
    await fill(backend)
    yield Hands(backend, meddler)
    await backend.close()


STORES = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.integration)]


@pytest.fixture(params=STORES)
async def hands(request: pytest.FixtureRequest) -> AsyncGenerator[Hands]:
    async with opened(request.param, request) as found:
        yield found


async def test_a_store_that_nobody_meddled_with_is_sound(hands: Hands) -> None:
    """Its sealed head too, and later, when events were added."""
    checkpoint = await hands.sealed()
    assert (checkpoint.events, checkpoint.aggregates) == (11, 3)
    await Chained(hands.backend).append([append_to("a", after=5), append_to("d")])
    result = await hands.verified(checkpoint)
    assert result.sound, result.findings
    assert (result.chained, result.unchained) == (13, 0)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"data": '{"number": 1, "text": "é\\n", "price": 1.50}'}, "hash-mismatch"),
        ({"data": '{"number": 1, "text": "e\\n", "price": 1.5}'}, "hash-mismatch"),
        ({"metadata": '{"actor": "bob"}'}, "hash-mismatch"),
        ({"metadata": None}, "hash-mismatch"),
        ({"event_type": "Happens"}, "hash-mismatch"),
        ({"schema_version": 2}, "hash-mismatch"),
        ({"event_id": UUID(int=1)}, "hash-mismatch"),
        ({"occurred_at": NOON + LATER}, "hash-mismatch"),
        ({"stored_at": NOON}, "chain-broken"),
    ],
)
async def test_a_changed_value_is_found(hands: Hands, values: dict[str, Any], kind: str) -> None:
    """At the event that has it, and at no other."""
    event = await hands.event("a", 2)
    await hands.meddler.change(event.position, **values)
    (finding,) = (await hands.verified()).findings
    assert (finding.kind, finding.count) == (kind, 1)
    assert (finding.places[0].aggregate_id, finding.places[0].version) == ("a", 2)


async def test_values_that_mean_the_same_are_no_change(hands: Hands) -> None:
    """Spaces, the order of keys, and how a character is written."""
    event = await hands.event("a", 2)
    same = '{"price":1.5 ,  "text":"\\u00e9\\n","number":1}'
    await hands.meddler.change(event.position, data=same, occurred_at=NOON)
    assert await hands.found() == {}


async def test_swapped_events_are_found(hands: Hands) -> None:
    """Within an aggregate, or between two."""
    second, third = await hands.event("a", 2), await hands.event("a", 3)
    for one, other in ((second, third), (third, second)):
        await hands.meddler.change(one.position, data=other.data, metadata=other.metadata)
    assert await hands.found() == {"hash-mismatch": 2}


async def test_swapped_versions_are_found(hands: Hands) -> None:
    """Though each content has its own hash with it."""
    second, third = await hands.event("a", 2), await hands.event("a", 3)
    await hands.meddler.change(second.position, version=9)
    await hands.meddler.change(third.position, version=2)
    await hands.meddler.change(second.position, version=3)
    found = await hands.found()
    assert found["hash-mismatch"] == 2
    assert found["chain-broken"] == 3


async def test_an_event_that_was_moved_in_the_log_is_found(hands: Hands) -> None:
    """Its position is part of the chain."""
    event = await hands.event("c", 1)
    await hands.meddler.change(event.position, position=event.position + 1)
    assert set(await hands.found()) & {"chain-broken", "events-missing"}


async def test_a_content_hash_that_was_made_to_fit_is_found(hands: Hands) -> None:
    """The chain goes over the content hashes."""
    await forge(hands, "a", 2, whole_chain=False)
    (finding,) = (await hands.verified()).findings
    assert (finding.kind, finding.count, finding.places[0].version) == ("chain-broken", 1, 2)


async def test_an_event_that_was_removed_from_the_middle_is_found(hands: Hands) -> None:
    """By the gap, and by the chain."""
    event = await hands.event("a", 3)
    await hands.meddler.remove(event.position)
    assert await hands.found() == {"version-gap": 1, "chain-broken": 1}


@pytest.mark.parametrize(("version", "broken"), [(1, 2), (3, 3), (5, 5)])
async def test_hashes_that_were_removed_are_found(hands: Hands, version: int, broken: int) -> None:
    """From the first event the second does not follow; of later ones the chain has to go on."""
    event = await hands.event("a", version)
    await hands.meddler.rehash(event.position, content_hash=None, event_hash=None)
    (finding,) = (await hands.verified()).findings
    assert finding.kind == "chain-broken"
    assert finding.places[0].version == broken


async def test_hashes_that_were_removed_from_the_beginning_are_found(hands: Hands) -> None:
    """As if the chain had begun later."""
    for version in (1, 2, 3):
        event = await hands.event("a", version)
        await hands.meddler.rehash(event.position, content_hash=None, event_hash=None)
    (finding,) = (await hands.verified()).findings
    assert (finding.kind, finding.count, finding.places[0].version) == ("chain-broken", 1, 4)


async def test_only_a_checkpoint_tells_of_events_removed_from_the_end(hands: Hands) -> None:
    """What is left is a shorter history that is whole."""
    checkpoint = await hands.sealed()
    for version in (5, 4):
        event = await hands.event("a", version)
        await hands.meddler.remove(event.position)
    assert await hands.found() == {}
    assert await hands.found(checkpoint) == {"events-missing": 1}


async def test_only_a_checkpoint_tells_of_a_chain_that_was_computed_anew(hands: Hands) -> None:
    """Whoever can write and knows the rules can do so."""
    checkpoint = await hands.sealed()
    await forge(hands, "a", 2, whole_chain=True)
    assert await hands.found() == {}
    assert await hands.found(checkpoint) == {"checkpoint-mismatch": 1}


async def test_only_a_checkpoint_tells_that_an_aggregate_lost_all_hashes(hands: Hands) -> None:
    """Without it, it looks like one of a process that does not chain, and is counted as such."""
    checkpoint = await hands.sealed()
    for version in range(1, 6):
        event = await hands.event("b", version)
        await hands.meddler.rehash(event.position, content_hash=None, event_hash=None)
    result = await hands.verified()
    assert result.sound, result.findings
    assert result.unchained == 5
    assert await hands.found(checkpoint) == {"checkpoint-mismatch": 1}


async def test_a_removed_aggregate_is_missed_by_a_checkpoint(hands: Hands) -> None:
    """And by nothing else."""
    checkpoint = await hands.sealed()
    await hands.meddler.remove((await hands.event("c", 1)).position)
    assert await hands.found() == {}
    assert await hands.found(checkpoint) == {"events-missing": 1}


@pytest.mark.parametrize("kind", STORES)
async def test_a_store_without_hashes_is_not_sealed(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """There is nothing in it that a signature could hold on to."""
    async with opened(kind, request) as hands:
        for link in await hands.backend.chain.links():
            position = link.event.position
            await hands.meddler.rehash(position, content_hash=None, event_hash=None)
        if kind == "memory":
            hands.backend.chain._hashes.clear()  # type: ignore[attr-defined]
        with pytest.raises(InvalidInput, match="hash_chain=True"):
            await hands.sealed()


async def forge(hands: Hands, aggregate_id: str, version: int, *, whole_chain: bool) -> None:
    """Change an event, give it the content hash that fits, and perhaps all later ones theirs."""
    event = await hands.event(aggregate_id, version)
    await hands.meddler.change(event.position, data='{"number": 666}')
    links = [link for link in await hands.backend.chain.links() if link.event.aggregate_id == "a"]
    previous = None
    for link in links:
        each = link.event
        content = content_hash(each, each.aggregate_id, each.aggregate_type, each.version)
        previous = event_hash(previous, content, each.position, each.stored_at)
        hashes = {"content_hash": content, "event_hash": previous}
        if whole_chain:
            await hands.meddler.rehash(each.position, **hashes)
        elif each.version == version:
            await hands.meddler.rehash(each.position, content_hash=content)


HASHES = ["content_hash", "event_hash"]


@pytest.mark.parametrize("kind", STORES)
async def test_any_flipped_bit_of_any_column_is_found(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Unless what is read means the same, or the database refuses it."""
    async with opened(kind, request) as hands:
        links = await hands.backend.chain.links()

        async def flip(number: int, name: str, bit: int) -> bool:
            link = links[number % len(links)]
            hashed = name in HASHES
            old = getattr(link if hashed else link.event, name)
            new = flipped(old, bit)
            if new is None or same(name, old, new):
                return False
            write: Any = hands.meddler.rehash if hashed else hands.meddler.change
            position = link.event.position
            try:
                await write(position, **{name: new})
            except Refused:
                return False
            try:
                assert await hands.found() != {}, (link, new)
            except EventStoreError:
                pass  # It cannot be read any more.
            finally:
                await write(new if name == "position" else position, **{name: old})
            return True

        examples = 60 if kind == "postgres" else 200
        await _each(flip, examples)
        assert await hands.found() == {}


async def _each(flip: Callable[[int, str, int], Coroutine[Any, Any, bool]], examples: int) -> None:
    """Call it with values that hypothesis draws, on this loop."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 10), st.sampled_from([*COLUMNS, *HASHES]), st.integers(0, 10_000))
    def drawn(number: int, name: str, bit: int) -> None:
        assume(asyncio.run_coroutine_threadsafe(flip(number, name, bit), loop).result())

    await asyncio.to_thread(drawn)


def flipped(value: Any, bit: int) -> Any:
    """The value with one bit of it changed; None: that is no value of its type."""
    if isinstance(value, bytes):
        index = bit % (8 * len(value))
        return bytes(
            each ^ (1 << index % 8) if place == index // 8 else each
            for place, each in enumerate(value)
        )
    if isinstance(value, UUID):
        return UUID(int=value.int ^ (1 << bit % 128))
    if isinstance(value, int):
        return value ^ (1 << bit % 15)
    if isinstance(value, str):
        changed = flipped(value.encode(), bit)
        return changed.decode() if _is_text(changed) else None
    return value + (1 << bit % 40) * LATER if value is not None else None


def _is_text(value: bytes) -> bool:
    return value.decode(errors="replace").encode() == value


def same(name: str, old: Any, new: Any) -> bool:
    """Whether a changed text of JSON means what it meant."""
    if name not in {"data", "metadata"}:
        return bool(old == new)
    try:
        return bytes(canonical(old)) == bytes(canonical(new))
    except ValueError:
        return False


async def test_any_flipped_bit_of_a_text_in_sqlite_is_found(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 too."""
    path = tmp_path / "store.db"
    backend = SqliteStore(str(path))
    await backend.open()
    await fill(backend)
    meddler = SqliteMeddler(path)
    hands = Hands(backend, meddler)
    links = await backend.chain.links()
    names = ("event_id", "event_type", "aggregate_id", "aggregate_type", "data", "metadata")

    async def flip(number: int, name: str, bit: int) -> bool:
        name = names[bit % len(names)]
        event = links[number % len(links)].event
        text = getattr(event, name)
        if text is None:
            return False
        old = str(text).encode()
        new = flipped(old, bit)
        if _is_text(new) and same(name, old.decode(), new.decode()):
            return False
        try:
            await meddler.set_bytes(event.position, COLUMNS[name], new)
        except Refused:
            return False
        assert await hands.found() != {}, (event, new)
        await meddler.set_bytes(event.position, COLUMNS[name], old)
        return True

    await _each(flip, 200)
    assert await hands.found() == {}
    await backend.close()
