"""Snapshots of one kind of aggregate, beyond what every store's contract tests."""

import asyncio
import logging
from functools import cached_property
from typing import Any

import msgspec
import pytest

from hitherto import (
    Aggregate,
    Health,
    InvalidAggregateState,
    Repository,
    SnapshotNotSupported,
)
from hitherto.application.ports import Backend
from hitherto.application.records import Snapshot
from hitherto.application.store import Store
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder
from hitherto.testing.repository_contract.domain import Account, Divided, Grew


class Loose(Aggregate[Grew]):
    """Its state says less than its events tell."""

    sizes: list[Any] = []  # noqa: RUF012

    def apply(self, event: Grew) -> None:
        self.sizes.append((event.by,))


class Broken(Aggregate[Grew]):
    """Its annotation names a class that is not there."""

    size: "NotThere"  # type: ignore[name-defined]  # noqa: F821

    def apply(self, event: Grew) -> None:
        self.size = event.by


class Unset(Aggregate[Grew]):
    """A field that is set by some events only."""

    size: int

    def apply(self, event: Grew) -> None:
        if event.by > 1:
            self.size = event.by


@pytest.fixture
def probe() -> Probe:
    return Probe(MemoryStore())


async def kept_version(backend: Backend, aggregate_id: str) -> int | None:
    kept = await backend.read_snapshot(aggregate_id)
    return None if kept is None else kept.version


async def grown(repository: Repository[Any], kind: type[Aggregate[Grew]], *sizes: int) -> Any:
    aggregate = kind("g-1")
    for size in sizes:
        aggregate.record(Grew(by=size))
    await repository.save(aggregate)
    return aggregate


async def test_a_state_that_comes_back_as_another_type_is_not_kept(probe: Probe) -> None:
    """A tuple would become a list; the error names the field."""
    repository = Repository(Store(probe), Loose, snapshot_every=None)
    aggregate = await grown(repository, Loose, 1)
    with pytest.raises(SnapshotNotSupported, match="would come back changed, its field sizes"):
        await repository.snapshot(aggregate)
    assert await kept_version(probe, "g-1") is None


class Undeclared(Aggregate[Grew]):
    size: int = 0

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.sizes: list[int] = []
        self.table = {"one": 1}
        self.helper = Helper()

    @cached_property
    def twice(self) -> int:
        return 2 * self.size

    def apply(self, event: Grew) -> None:
        self.size += event.by
        if event.by > 1:
            self.sizes.append(event.by)


class Helper:
    def __init__(self) -> None:
        self.unit = 1


async def test_an_attribute_that_is_no_field_is_not_lost(probe: Probe) -> None:
    """Only what the class annotates is kept; what `__init__` makes again may be missing."""
    repository = Repository(Store(probe), Undeclared, snapshot_every=None)
    aggregate = await grown(repository, Undeclared, 1)
    assert aggregate.twice == 2
    assert await repository.snapshot(aggregate)
    aggregate.record(Grew(by=2))
    await repository.save(aggregate)
    with pytest.raises(SnapshotNotSupported, match="without 'sizes', which is no field"):
        await repository.snapshot(aggregate)
    assert (await repository.load("g-1")).sizes == [2]


class Halting(Aggregate[Grew]):
    times: int = 0
    size: int = 0

    def apply(self, event: Grew) -> None:
        self.times += 1
        self.size += 100 // event.by


async def test_a_state_that_is_half_changed_is_not_kept(probe: Probe) -> None:
    """The event that `apply` has failed for is no part of what is stored."""
    repository = Repository(Store(probe), Halting, snapshot_every=1)
    aggregate = Halting("g-1")
    aggregate.record(Grew(by=1))
    with pytest.raises(ZeroDivisionError):
        aggregate.record(Grew(by=0))
    await repository.save(aggregate)
    assert await kept_version(probe, "g-1") is None
    with pytest.raises(InvalidAggregateState):
        await repository.snapshot(aggregate)
    assert (await repository.load("g-1")).times == 1


async def test_what_is_not_supported_is_said_once(
    probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    """Later saves do not try it again."""
    hooks = Recorder()
    repository = Repository(Store(probe, instrumentation=hooks), Divided, snapshot_every=1)
    divided = await grown(repository, Divided, 0)
    divided.record(Grew(by=0))
    await repository.save(divided)
    assert hooks.of("snapshot_failed") == [("Divided",)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_an_annotation_that_leads_nowhere_means_no_snapshots(probe: Probe) -> None:
    """Whoever asks for them is told; others save and load as ever."""
    with pytest.raises(SnapshotNotSupported, match=r"Broken cannot be encoded: .*NotThere"):
        Repository(Store(probe), Broken, snapshot_every=1)
    repository = Repository(Store(probe), Broken)
    aggregate = await grown(repository, Broken, 5)
    assert (await repository.load("g-1")).size == 5
    with pytest.raises(SnapshotNotSupported):
        await repository.snapshot(aggregate)


@pytest.mark.parametrize("kind", [Broken, Divided])
async def test_snapshots_that_cannot_be_taken_are_a_problem_of_the_repository(
    probe: Probe, kind: type[Aggregate[Grew]]
) -> None:
    """Known from the start or found at the first save; the store has no part in it."""
    store = Store(probe, snapshot_threshold=1)
    repository = Repository(store, kind)
    await grown(repository, kind, 0)
    found, below = await repository.health_check(), await store.health_check()
    *others, problem = found.problems
    assert problem.startswith(f"no snapshot of {kind.__name__} is taken, so loads get slower: ")
    assert found.status == "degraded"
    assert tuple(others) == below.problems
    unwanted = Repository(store, kind, snapshot_every=None)
    assert await unwanted.health_check() == below


async def test_snapshots_make_an_unhealthy_store_no_healthier(probe: Probe) -> None:
    """The worst counts."""

    class Dead(MemoryStore):
        async def health_check(self) -> Health:
            return Health(status="unhealthy", backend="dead")

    found = await Repository(Store(Dead()), Broken).health_check()
    assert found.status == "unhealthy"
    assert len(found.problems) == 1


async def test_a_field_that_is_not_set_comes_back_not_set(probe: Probe) -> None:
    """It is not None, nor any other value."""
    repository = Repository(Store(probe), Unset, snapshot_every=1)
    await grown(repository, Unset, 1)
    assert await kept_version(probe, "g-1") == 1
    assert not hasattr(await repository.load("g-1"), "size")


async def test_without_a_policy_a_bad_snapshot_stays(probe: Probe) -> None:
    """It is told of and passed over; who takes snapshots by hand replaces it by hand."""
    hooks = Recorder()
    accounts = Repository(Store(probe, instrumentation=hooks), Account, snapshot_every=None)
    account = Account.open("a-1")
    await accounts.save(account)
    await accounts.snapshot(account)
    kept = await probe.read_snapshot("a-1")
    assert kept is not None
    await probe.save_snapshot(msgspec.structs.replace(kept, fingerprint="old"), replacing=1)
    assert (await accounts.load("a-1")).owner == "Ada"
    assert hooks.of("snapshot_unusable") == [("Account",)]
    assert hooks.of("snapshot_created") == [("Account",)]


@pytest.mark.parametrize("changes", [{"data": '"secret"'}, {"fingerprint": "old"}, {"version": 9}])
async def test_a_line_in_the_log_tells_which_snapshot_is_bad(
    probe: Probe, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """Its aggregate, its version and the reason; never what is in it."""
    accounts = Repository(Store(probe), Account, snapshot_every=1)
    await accounts.save(Account.open("a-1"))
    kept = await probe.read_snapshot("a-1")
    assert kept is not None
    spoiled = msgspec.structs.replace(kept, **changes)
    await probe.save_snapshot(spoiled, replacing=1)
    await accounts.load("a-1")
    (record,) = caplog.records
    assert record.message.startswith(
        "snapshot_unusable aggregate_type='Account' aggregate_id='a-1' "
        f"version={spoiled.version} reason="
    )
    assert "secret" not in record.message


async def test_an_automatic_snapshot_is_not_waited_for_as_long_as_a_save(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The save was acknowledged; that a snapshot could not be kept is told."""
    monkeypatch.setattr("hitherto.application.snapshots._PATIENCE", 0.01)
    backend = Hanging()
    async with Store(backend) as store:
        accounts = Repository(store, Account, snapshot_every=1)
        async with asyncio.timeout(5):
            await accounts.save(Account.open("a-1"))
    assert "snapshot_failed" in caplog.text
    assert "TimeoutError" in caplog.text


async def test_an_older_version_tells_of_an_unusable_snapshot_too() -> None:
    """It is left for who loads the newest."""
    hooks = Recorder()
    async with Store(MemoryStore(), instrumentation=hooks) as store:
        accounts = Repository(store, Account, snapshot_every=1)
        await accounts.save(Account.open("a-1"))
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        spoiled = msgspec.structs.replace(kept, data="{")
        await store.backend.save_snapshot(spoiled, replacing=1)
        assert (await accounts.load("a-1", version=1)).version == 1
        assert hooks.of("snapshot_unusable") == [("Account",)]
        assert await store.backend.read_snapshot("a-1") == spoiled


async def test_a_snapshot_of_another_type_is_passed_over() -> None:
    """Though its state can be decoded."""
    async with Store(MemoryStore()) as store:
        accounts = Repository(store, Account, snapshot_every=1)
        await accounts.save(Account.open("a-1"))
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        foreign = msgspec.structs.replace(kept, aggregate_type="Person")
        await store.backend.save_snapshot(foreign, replacing=1)
        assert (await accounts.load("a-1")).version == 1
        assert await store.backend.read_snapshot("a-1") == kept


class Hanging(MemoryStore):
    """It never gets a snapshot stored."""

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        await asyncio.Event().wait()
        raise AssertionError
