"""Payloads that were replaced: nothing else changes, and the store tells of it."""

import msgspec

from hitherto.application.ports import Backend
from hitherto.application.ports.erasures import Erasure
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.chaining import Chained
from hitherto.testing.store_contract.making import append_to, same_json, snapshot_of, whole_log


class EraseContract:
    """`Backend.erasures`."""

    async def test_only_the_payload_is_replaced(self, backend: Backend) -> None:
        """Positions, versions, ids and times stay, and so do all other events."""
        before = await _filled(backend)
        erasure = _erasure(before[1])
        assert await backend.erasures.erase(before[1], erasure)
        after = await whole_log(backend)
        assert same_json(after[1].data) == {"n": "[redacted]"}
        assert same_json(after[1].metadata) == {"actor": None}
        wanted = msgspec.structs.replace(before[1], data=after[1].data, metadata=after[1].metadata)
        assert after == [before[0], wanted, *before[2:]]
        assert await backend.read(wanted.aggregate_id) == [
            each for each in after if each.aggregate_id == wanted.aggregate_id
        ]

    async def test_the_store_tells_of_it(self, backend: Backend) -> None:
        """Each time, the oldest first, and when; of the payload none keeps what went later."""
        log = await _filled(backend)
        assert list(await backend.erasures.erasures()) == []
        await backend.erasures.erase(log[1], _erasure(log[1]))
        second = (await whole_log(backend))[1]
        await backend.erasures.erase(second, _erasure(second, value="gone"))
        told = await backend.erasures.erasures()
        assert [same_json(each.data)["n"] for each in told] == ["gone", "gone"]
        assert {(each.event_id, each.aggregate_id, each.version) for each in told} == {
            (log[1].event_id, log[1].aggregate_id, log[1].version)
        }
        assert {(each.fields, each.reason) for each in told} == {(("n",), "the law")}
        assert all(each.erased_by.startswith("a clerk") for each in told)
        assert all(each.erased_at and each.erased_at >= log[1].stored_at for each in told)

    async def test_the_same_again_is_known_by_its_account(self, backend: Backend) -> None:
        """As after an answer that was lost; it is done once."""
        log = await _filled(backend)
        assert await backend.erasures.erase(log[1], _erasure(log[1]))
        assert await backend.erasures.erase(log[1], _erasure(log[1]))
        assert len(await backend.erasures.erasures()) == 1

    async def test_an_event_that_is_not_as_it_was_found_is_left_alone(
        self, backend: Backend
    ) -> None:
        """Somebody else has erased another of its fields, or it was never stored."""
        log = await _filled(backend)
        await backend.erasures.erase(log[1], _erasure(log[1]))
        assert not await backend.erasures.erase(log[1], _erasure(log[1], value="other"))
        foreign = msgspec.structs.replace(log[0], data='{"n":99}')
        assert not await backend.erasures.erase(foreign, _erasure(foreign))
        assert len(await backend.erasures.erasures()) == 1
        assert (await whole_log(backend))[0] == log[0]

    async def test_the_snapshot_of_the_aggregate_is_removed(self, backend: Backend) -> None:
        """And no other one."""
        log = await _filled(backend)
        await backend.save_snapshot(snapshot_of("a", 2))
        await backend.save_snapshot(snapshot_of("b", 1))
        await backend.erasures.erase(log[1], _erasure(log[1]))
        assert await backend.read_snapshot("a") is None
        assert await backend.read_snapshot("b") is not None

    async def test_an_archived_event_is_erased_too(self, backend: Backend) -> None:
        """And may be restored and archived again."""
        log = await _filled(backend)
        await backend.archive.archive({"a": 3})
        assert await backend.erasures.erase(log[1], _erasure(log[1]))
        assert await backend.archive.restore(["a"]) == {"a": 2}
        assert await backend.archive.archive({"a": 3}) == {"a": 2}
        assert same_json((await whole_log(backend))[1].data) == {"n": "[redacted]"}
        assert list(await backend.inspect()) == []

    async def test_the_hashes_stay(self, backend: Backend) -> None:
        """Those of the event and of all after it; the chain goes on."""
        chained = Chained(backend)
        log = await _filled(chained)
        before = await chained.chain.links()
        await backend.erasures.erase(log[1], _erasure(log[1]))
        after = await chained.chain.links()
        assert [(each.content_hash, each.event_hash) for each in after] == [
            (each.content_hash, each.event_hash) for each in before
        ]
        await chained.append([append_to("a", 1, after=3)])
        assert list(await backend.inspect()) == []


async def _filled(backend: Backend) -> list[StoredEvent]:
    await backend.append([append_to("a", 3)])
    await backend.append([append_to("b", 1)])
    return await whole_log(backend)


def _erasure(event: StoredEvent, value: str = "[redacted]") -> Erasure:
    return Erasure(
        event_id=event.event_id,
        aggregate_id=event.aggregate_id,
        version=event.version,
        data=msgspec.json.encode({"n": value}).decode(),
        metadata='{"actor": null}',
        fields=("n",),
        reason="the law",
        erased_by="a clerk",
    )
