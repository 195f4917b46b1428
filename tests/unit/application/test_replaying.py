"""Snapshots built again from the events."""

from typing import Any

import msgspec
import pytest

from hitherto import (
    Aggregate,
    AggregateNotFound,
    EventStoreUnavailable,
    InvalidInput,
    Repository,
    SnapshotNotSupported,
)
from hitherto.application.records import Snapshot
from hitherto.application.replaying import Replayed, replay
from hitherto.application.store import Store
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.domain import (
    Account,
    Counter,
    Divided,
    Grew,
    Grow,
    Opaque,
    Person,
)

THRESHOLD = 5


class Fragile(Aggregate[Grew]):
    """It cannot fold what has happened to it."""

    size: int = 0

    def apply(self, event: Grew) -> None:
        if event.by == 13:
            raise ZeroDivisionError("thirteen")
        self.size += event.by


class Sturdy(Aggregate[Grew], type="Fragile"):
    """The same, as an earlier version of the code had it."""

    size: int = 0

    def apply(self, event: Grew) -> None:
        self.size += event.by


@pytest.fixture
def probe() -> Probe:
    return Probe(MemoryStore())


@pytest.fixture
def store(probe: Probe) -> Store:
    return Store(probe, snapshot_threshold=THRESHOLD)


@pytest.fixture
def accounts(store: Store) -> Repository[Account]:
    return Repository(store, Account, snapshot_every=None)


async def saved(accounts: Repository[Account], name: str, events: int) -> Account:
    """An account with so many events, and no snapshot."""
    account = Account.open(name)
    for _ in range(events - 1):
        account.deposit(10)
    await accounts.save(account)
    return account


async def kept(store: Store, name: str) -> Snapshot:
    """The snapshot that is kept of an aggregate."""
    found = await store.backend.read_snapshot(name)
    assert found is not None
    return found


async def spoil(store: Store, name: str, **changes: Any) -> Snapshot:
    """Put a changed snapshot in the place of the one that is kept."""
    found = await kept(store, name)
    changed = msgspec.structs.replace(found, **changes)
    assert await store.backend.save_snapshot(changed, replacing=found.version)
    return changed


def counts(result: Replayed) -> dict[str, int]:
    """Those that are not zero."""
    return {
        name: value
        for name, value in msgspec.structs.asdict(result).items()
        if isinstance(value, int) and value
    }


async def test_a_snapshot_that_equals_the_fold_stays(
    accounts: Repository[Account], store: Store, probe: Probe
) -> None:
    """Nothing is written, though later events have come."""
    account = await saved(accounts, "a", 6)
    await accounts.snapshot(account)
    account.deposit(1)
    await accounts.save(account)
    probe.reset()
    result = await replay(accounts)
    assert counts(result) == {"aggregates": 1, "equal": 1}
    assert result.findings == ()
    assert "save_snapshot" not in probe.calls


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"data": '{"owner":"Eve"}'}, "snapshot-differs", "its field owner"),
        ({"data": '{"owner":7}'}, "snapshot-undecodable", "Expected `str`"),
        ({"data": '{"owner":'}, "snapshot-undecodable", "truncated"),
        ({"version": 4}, "snapshot-differs", "its field balance"),
        ({"version": 7}, "snapshot-ahead", "its events end at 6"),
        ({"version": 0}, "snapshot-out-of-range", "at version 0, below 1"),
    ],
)
async def test_a_wrong_snapshot_is_told_and_replaced(
    changes: dict[str, Any], kind: str, told: str, accounts: Repository[Account], store: Store
) -> None:
    """By the fold of all events; the others stay as they are."""
    for name in ("a", "b", "c"):
        await accounts.snapshot(await saved(accounts, name, 6))
    before = await kept(store, "b")
    changed = await spoil(store, "b", **changes)

    result = await replay(accounts, dry_run=True)
    assert counts(result) == {"aggregates": 3, "equal": 2, "wrong": 1}
    assert await kept(store, "b") == changed

    result = await replay(accounts)
    assert counts(result) == {"aggregates": 3, "equal": 2, "wrong": 1, "taken": 1}
    (finding,) = result.findings
    assert (finding.kind, finding.places[0].aggregate_id) == (kind, "b")
    assert told in finding.places[0].what
    assert await kept(store, "b") == before
    assert counts(await replay(accounts)) == {"aggregates": 3, "equal": 3}


async def test_a_spoiled_snapshot_below_the_head_is_replaced_at_the_head(
    accounts: Repository[Account], store: Store
) -> None:
    """What was folded on top of it was wrong as well."""
    account = await saved(accounts, "a", 6)
    await accounts.snapshot(account)
    account.deposit(5)
    await accounts.save(account)
    before = await kept(store, "a")
    await spoil(store, "a", data=before.data.replace("50", "51"))
    assert (await accounts.load("a")).balance == 56
    await replay(accounts)
    assert (await kept(store, "a")).version == 7
    assert (await accounts.load("a")).balance == 55


async def test_a_snapshot_that_other_code_made_is_replaced(
    accounts: Repository[Account], store: Store
) -> None:
    """It is no damage, so nothing is told of it but the number."""
    await accounts.snapshot(await saved(accounts, "a", 6))
    before = await kept(store, "a")
    await spoil(store, "a", fingerprint="other")
    result = await replay(accounts)
    assert counts(result) == {"aggregates": 1, "foreign": 1, "taken": 1}
    assert result.findings == ()
    assert await kept(store, "a") == before


async def test_a_missing_snapshot_is_taken_where_a_save_would_have_taken_one(
    accounts: Repository[Account], store: Store
) -> None:
    """As after the table of snapshots was lost."""
    for events in (THRESHOLD - 1, THRESHOLD, THRESHOLD + 1):
        await saved(accounts, f"a-{events}", events)
    assert counts(await replay(accounts, dry_run=True)) == {"aggregates": 3, "missing": 2}
    result = await replay(accounts)
    assert counts(result) == {"aggregates": 3, "missing": 2, "taken": 2}
    assert list(await store.backend.snapshot_ids("Account")) == ["a-5", "a-6"]
    assert (await kept(store, "a-6")).version == 6


async def test_one_kind_is_replayed_and_no_other(
    accounts: Repository[Account], store: Store, probe: Probe
) -> None:
    """Even if an id of another kind is given."""
    people = Repository(store, Person, snapshot_every=None)
    person = Person("p")
    for _ in range(6):
        person.register("Ada")
    await people.save(person)
    await people.snapshot(person)
    await saved(accounts, "a", 6)
    before = await kept(store, "p")
    assert counts(await replay(accounts)) == {"aggregates": 1, "missing": 1, "taken": 1}
    result = await replay(accounts, ["p"])
    assert counts(result) == {"aggregates": 1, "unfoldable": 1}
    assert "'p' is a Person, not a Account" in result.findings[0].places[0].what
    assert await kept(store, "p") == before


class TestChosenIds:
    async def test_only_they_are_replayed(
        self, accounts: Repository[Account], store: Store
    ) -> None:
        """Each once."""
        for name in ("a", "b", "c"):
            await accounts.snapshot(await saved(accounts, name, 6))
            await spoil(store, name, data="{}")
        result = await replay(accounts, iter(["c", "a", "c"]))
        assert counts(result) == {"aggregates": 2, "wrong": 2, "taken": 2}
        assert (await kept(store, "b")).data == "{}"

    async def test_one_without_events_is_refused(self, accounts: Repository[Account]) -> None:
        """It is a mistake, such as a typing error."""
        await saved(accounts, "a", 6)
        with pytest.raises(AggregateNotFound, match="no Account with id 'b'"):
            await replay(accounts, ["a", "b"])

    @pytest.mark.parametrize("ids", ["abc", [""], ["a\0"]])
    async def test_what_is_no_list_of_ids_is_refused(
        self, ids: Any, accounts: Repository[Account], probe: Probe
    ) -> None:
        """Before any I/O."""
        with pytest.raises(InvalidInput):
            await replay(accounts, ids)
        assert probe.calls == []

    async def test_none_are_none(self, accounts: Repository[Account]) -> None:
        """Not all."""
        await saved(accounts, "a", 6)
        assert counts(await replay(accounts, [])) == {}


async def test_aggregates_that_cannot_be_folded_are_told(store: Store) -> None:
    """The others are replayed."""
    before = Repository(store, Sturdy, snapshot_every=None)
    for name, by in (("a", 1), ("b", 13), ("c", 1)):
        sturdy = Sturdy(name)
        for _ in range(THRESHOLD):
            sturdy.record(Grew(by=by))
        await before.save(sturdy)
    result = await replay(Repository(store, Fragile, snapshot_every=None))
    assert counts(result) == {"aggregates": 3, "missing": 2, "unfoldable": 1, "taken": 2}
    (finding,) = result.findings
    assert finding.kind == "aggregate-unfoldable"
    assert finding.places[0].what == "'b' cannot be folded: ZeroDivisionError: thirteen"


async def test_events_after_an_equal_snapshot_are_folded_too(store: Store) -> None:
    """A load would fail on them."""
    before = Repository(store, Sturdy, snapshot_every=None)
    sturdy = Sturdy("a")
    sturdy.record(Grew(by=1))
    await before.save(sturdy)
    fragile = Repository(store, Fragile, snapshot_every=None)
    await fragile.snapshot(await fragile.load("a"))
    assert counts(await replay(fragile)) == {"aggregates": 1, "equal": 1}
    sturdy.record(Grew(by=13))
    await before.save(sturdy)
    result = await replay(fragile)
    assert counts(result) == {"aggregates": 1, "unfoldable": 1}
    assert result.findings[0].kind == "aggregate-unfoldable"


async def test_an_aggregate_whose_first_event_is_gone_is_gone_through_by_its_snapshot(
    accounts: Repository[Account], store: Store, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in its turn, and once."""
    for name in ("a", "b", "c", "d"):
        await accounts.snapshot(await saved(accounts, name, 6))

    async def some(_type: str, *, after: str = "", limit: int = 1000) -> list[str]:
        return [each for each in ("b", "c") if each > after][:limit]

    monkeypatch.setattr(probe, "aggregate_ids", some)
    assert counts(await replay(accounts)) == {"aggregates": 4, "equal": 4}


async def test_a_snapshot_without_any_event_is_wrong(
    accounts: Repository[Account], store: Store
) -> None:
    """There is nothing to take another from; it does not end the run."""
    for name in ("a", "b"):
        await accounts.snapshot(await saved(accounts, name, 6))
    orphan = msgspec.structs.replace(await kept(store, "a"), aggregate_id="aa")
    assert await store.backend.save_snapshot(orphan)
    result = await replay(accounts)
    assert counts(result) == {"aggregates": 3, "equal": 2, "wrong": 1}
    assert result.findings[0].kind == "snapshot-without-events"
    assert await kept(store, "aa") == orphan


async def test_a_snapshot_of_another_type_is_replaced(
    accounts: Repository[Account], store: Store
) -> None:
    """Though its state is equal."""
    await accounts.snapshot(await saved(accounts, "a", 6))
    before = await kept(store, "a")
    await spoil(store, "a", aggregate_type="Person")
    result = await replay(accounts)
    assert (result.equal, result.taken) == (0, 1)
    assert await kept(store, "a") == before


async def test_a_state_that_cannot_be_kept_is_told(store: Store) -> None:
    """It is folded, but JSON could not give it back."""
    repository = Repository(store, Divided, snapshot_every=None)
    for name, by in (("a", 0), ("b", 1)):
        divided = Divided(name)
        for _ in range(THRESHOLD):
            divided.record(Grew(by=by))
        await repository.save(divided)
    result = await replay(repository)
    assert counts(result) == {"aggregates": 2, "missing": 1, "unfoldable": 1, "taken": 1}
    assert "give a finite number" in result.findings[0].places[0].what


async def test_a_wrong_snapshot_is_replaced_however_few_the_events(
    accounts: Repository[Account], store: Store
) -> None:
    """It was asked for once, and would be used."""
    await accounts.snapshot(await saved(accounts, "a", 2))
    await spoil(store, "a", data='{"owner":"Eve"}')
    assert counts(await replay(accounts)) == {"aggregates": 1, "wrong": 1, "taken": 1}
    assert (await accounts.load("a")).owner == "Ada"


async def test_a_snapshot_of_a_state_that_cannot_be_kept_is_told(store: Store) -> None:
    """Somebody has made it up."""
    repository = Repository(store, Divided, snapshot_every=None)
    divided = Divided("a")
    divided.record(Grew(by=1))
    await repository.save(divided)
    await repository.snapshot(divided)
    divided.record(Grew(by=0))
    await repository.save(divided)
    made_up = await spoil(store, "a", version=2)
    assert counts(await replay(repository)) == {"aggregates": 1, "unfoldable": 1}
    assert await kept(store, "a") == made_up


async def test_a_kind_without_snapshots_is_refused(store: Store, probe: Probe) -> None:
    """Before any I/O."""
    with pytest.raises(SnapshotNotSupported, match="Opaque cannot be encoded"):
        await replay(Repository(store, Opaque, snapshot_every=None))
    assert probe.calls == []


async def test_a_decider_is_replayed_like_an_aggregate(store: Store) -> None:
    """Its state too is compared."""
    counters = Repository(store, Counter(), snapshot_every=None)
    counter = Counter()("c")
    counter.execute(Grow(by=6))
    await counters.save(counter)
    await counters.snapshot(counter)
    await spoil(store, "c", data='{"state":{"total":7,"steps":[]}}')
    assert counts(await replay(counters)) == {"aggregates": 1, "wrong": 1, "taken": 1}
    assert (await counters.load("c")).state.total == 6


async def test_a_snapshot_that_is_taken_meanwhile_stays(
    accounts: Repository[Account], store: Store, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is newer than what the replay has folded."""
    account = await saved(accounts, "a", 6)
    await accounts.snapshot(account)
    await spoil(store, "a", data="{}")
    save, newer = probe.save_snapshot, await accounts.load("a")

    async def late(snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        monkeypatch.undo()
        newer.deposit(1)
        await accounts.save(newer)
        await accounts.snapshot(newer)
        return await save(snapshot, replacing=replacing)

    monkeypatch.setattr(probe, "save_snapshot", late)
    assert counts(await replay(accounts)) == {"aggregates": 1, "wrong": 1}
    assert (await kept(store, "a")).version == 7


async def test_the_progress_is_told(accounts: Repository[Account]) -> None:
    """After each aggregate, with their number where it is known."""
    told: list[tuple[str, int, int | None]] = []
    for name in ("a", "b", "c"):
        await saved(accounts, name, 1)
    await replay(accounts, progress=lambda *step: told.append(step))
    assert told == [("aggregates", 1, None), ("aggregates", 2, None), ("aggregates", 3, None)]
    told.clear()
    await replay(accounts, ["a", "b"], progress=lambda *step: told.append(step))
    assert told == [("aggregates", 1, 2), ("aggregates", 2, 2)]


async def test_many_are_replayed_page_by_page(accounts: Repository[Account], probe: Probe) -> None:
    """More than a page holds, and each once."""
    lines = [Account.open(f"a-{number}") for number in range(2345)]
    await accounts.save_all(*lines)
    probe.reset()
    assert counts(await replay(accounts)) == {"aggregates": 2345}
    assert probe.calls.count("aggregate_ids") == 4
    assert probe.calls.count("load") == 2345


async def test_an_outage_ends_it(accounts: Repository[Account], probe: Probe) -> None:
    """As itself, not as a group of errors."""
    for name in ("a", "b", "c"):
        await saved(accounts, name, 6)
    probe.broken.add("save_snapshot")
    with pytest.raises(EventStoreUnavailable, match="the test broke save_snapshot"):
        await replay(accounts)
