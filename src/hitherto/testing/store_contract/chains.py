"""Hash chains: what is stored with a content hash follows from what came before."""

import asyncio

import msgspec
import pytest

from hitherto.application.alongside import Alongside
from hitherto.application.chain.checking import Chains
from hitherto.application.chain.links import Head, Link, content_hash, event_hash
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import in_silence
from hitherto.errors import AggregateVersionConflict
from hitherto.infrastructure.chaining import Chained
from hitherto.testing.store_contract.content import NUMBERS, TEXTS, TIMES
from hitherto.testing.store_contract.making import append_to, new_event, placed, whole_log

LONG = 600  # more events than are appended in one statement, or in one batch of rows


class ChainContract:
    """`chain`, and what it tells of appends."""

    async def test_each_event_is_chained_to_the_one_before(self, backend: Backend) -> None:
        """However it came: alone, with others, in a group, alongside something, or imported."""
        chained = Chained(backend)
        await chained.append([append_to("alone")])
        await chained.append([append_to("alone", after=1)])
        await chained.append([append_to("several", 3)])
        await chained.append([append_to("several", 2, after=3)])
        await chained.append([append_to("b", 2), append_to("a"), append_to("alone", 3, after=2)])
        await chained.append(
            [append_to("beside", 2)], alongside=Alongside(scope="s", handled=["m"])
        )
        await chained.import_events([placed("told", 1), placed("a", 2), placed("told", 2)])
        await chained.append([append_to("told", 2, after=2)])
        log = await whole_log(backend)
        assert len(log) == 20
        await _see_chains(backend, log)

    async def test_a_long_append_is_chained(self, backend: Backend) -> None:
        """Whatever way a store has for it."""
        chained = Chained(backend)
        await chained.append([append_to("long", 2)])
        await chained.append([append_to("long", LONG, after=2)])
        told = [placed("told", version) for version in range(1, LONG + 1)]
        assert await chained.import_events(told) == LONG
        await _see_chains(backend, await whole_log(backend))

    async def test_a_batch_is_chained(self, backend: Backend) -> None:
        """Appends that share a transaction are in chains of their own."""
        chained = Chained(backend)
        await asyncio.gather(
            *(chained.append([append_to(f"a-{number}", 1 + number % 3)]) for number in range(30))
        )
        await _see_chains(backend, await whole_log(backend))

    async def test_repeated_appends_are_chained_once(self, backend: Backend) -> None:
        """And what was written in part before is completed."""
        chained = Chained(backend)
        whole = append_to("a", 4)
        first = msgspec.structs.replace(whole, events=whole.events[:2])
        await chained.append([first])
        await chained.append([whole])
        await chained.append([whole])
        with pytest.raises(AggregateVersionConflict):
            await chained.append([append_to("a", 4)])
        assert len(await whole_log(backend)) == 4
        await _see_chains(backend, await whole_log(backend))

    async def test_any_content_has_the_hash_that_it_had(self, backend: Backend) -> None:
        """Texts, numbers and times, as they come back."""
        chained = Chained(backend)
        for text in TEXTS:
            event = new_event({"text": text, "b": [text]}, type=text, metadata='{ "z":1, "a":"x" }')
            await chained.append([append_to(text, [event], type=text)])
        numbers = [new_event(f'{{"number":{number}, "again": [{number}]}}') for number in NUMBERS]
        await chained.append([append_to("numbers", numbers)])
        await chained.append([append_to("times", [new_event(occurred_at=each) for each in TIMES])])
        history = [placed("told", version) for version in range(1, len(TIMES) + 1)]
        await chained.import_events(
            [
                msgspec.structs.replace(event, stored_at=moment)
                for event, moment in zip(history, TIMES, strict=True)
            ]
        )
        await _see_chains(backend, await whole_log(backend))

    async def test_events_without_a_content_hash_have_no_hashes(self, backend: Backend) -> None:
        """A chain begins with the first event that has one, and is chained to nothing then."""
        await backend.append([append_to("a", 2), append_to("b")])
        assert await backend.chain.first() is None
        assert all(link.event_hash is None for link in await backend.chain.links())
        (position,) = await Chained(backend).append([append_to("a", 2, after=2)])
        links = await backend.chain.links()
        assert [link.content_hash is None for link in links] == [True, True, False, False, True]
        assert await backend.chain.first() == links[2].event.position < position
        assert links[2].event_hash == _own(None, links[2])
        assert links[3].event_hash == _own(links[2].event_hash, links[3])
        chains = Chains()
        await chains.check(backend.chain, in_silence)
        assert (chains.chained, chains.unchained) == (2, 0)
        assert chains.tally.findings() == ()

    async def test_an_event_without_a_hash_breaks_a_chain(self, backend: Backend) -> None:
        """As by a process that was not told to chain what it appends."""
        await Chained(backend).append([append_to("a", 2)])
        await backend.append([append_to("a", after=2), append_to("other")])
        await Chained(backend).append([append_to("a", after=3)])
        chains = Chains()
        await chains.check(backend.chain, in_silence)
        (finding,) = chains.tally.findings()
        assert (finding.kind, finding.count, finding.places[0].version) == ("chain-broken", 1, 3)
        assert (chains.chained, chains.unchained) == (3, 2)

    async def test_links_and_heads_come_in_pages(self, backend: Backend) -> None:
        """In the order of the ids' bytes, and of versions."""
        chained = Chained(backend)
        ids = [" ", "A", "Z", "a", "é", "\uffee", "😀"]
        for number, each in enumerate(reversed(ids), 1):
            await chained.append([append_to(each, number)])
        links = await backend.chain.links()
        assert [(link.event.aggregate_id, link.event.version) for link in links] == [
            (each, version)
            for number, each in enumerate(ids)
            for version in range(1, len(ids) - number + 1)
        ]
        found: list[Link] = []
        after = ("", 0)
        while page := await backend.chain.links(after=after, limit=3):
            assert len(page) <= 3
            found.extend(page)
            after = (page[-1].event.aggregate_id, page[-1].event.version)
        assert found == links
        end = await backend.watermark()
        heads: list[Head] = []
        while some := await backend.chain.heads(
            after=heads[-1].aggregate_id if heads else "", until=end, limit=2
        ):
            assert len(some) <= 2
            heads.extend(some)
        assert [(head.aggregate_id, head.version) for head in heads] == [
            (each, len(ids) - number) for number, each in enumerate(ids)
        ]

    async def test_heads_are_those_as_of_a_position(self, backend: Backend) -> None:
        """What was appended later does not count."""
        chained = Chained(backend)
        (then,) = await chained.append([append_to("a", 2)])
        before = await backend.chain.heads(until=then)
        await chained.append([append_to("a", after=2), append_to("b")])
        assert await backend.chain.heads(until=then) == before
        (first,) = await backend.chain.heads(until=then - 1)
        assert (first.aggregate_id, first.version) == ("a", 1)
        assert first.event_hash == (await backend.chain.links())[0].event_hash


async def _see_chains(backend: Backend, log: list[StoredEvent]) -> None:
    """Compute all hashes by themselves, and find those that are stored."""
    links = {link.event.position: link for link in await backend.chain.links(limit=10_000)}
    assert len(links) == len(log)
    latest: dict[str, bytes] = {}
    for event in log:
        link = links[event.position]
        assert link.event == event
        own = content_hash(event, event.aggregate_id, event.aggregate_type, event.version)
        assert link.content_hash == own
        assert link.event_hash == _own(latest.get(event.aggregate_id), link)
        latest[event.aggregate_id] = link.event_hash or b""
    chains = Chains()
    await chains.check(backend.chain, in_silence)
    assert chains.tally.findings() == ()
    assert (chains.chained, chains.unchained) == (len(log), 0)


def _own(previous: bytes | None, link: Link) -> bytes:
    assert link.content_hash is not None
    return event_hash(previous, link.content_hash, link.event.position, link.event.stored_at)
