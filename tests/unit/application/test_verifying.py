"""Whether a store is sound: what is looked at, and what is told."""

import asyncio
from collections import Counter as Counts
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hitherto import (
    Aggregate,
    Event,
    EventStoreUnavailable,
    InvalidInput,
    Metadata,
    Repository,
)
from hitherto.application.records import LogPage
from hitherto.application.store import Store
from hitherto.application.verifying import Verification, drawn, verify
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.domain import (
    Account,
    Counter,
    Grew,
    Grow,
    NewerPerson,
    Opaque,
    Person,
    RenamedTwice,
)
from hitherto.testing.store_contract.making import append_to, new_event


class Spent(Event, type="money-deposited"):
    """Another event under the name of one of `Account`'s."""

    reason: str


class Purse(Aggregate[Spent], type="Account"):
    """Another aggregate under the name of `Account`."""

    def apply(self, event: Spent) -> None:
        pass


@pytest.fixture
def probe() -> Probe:
    return Probe(MemoryStore())


@pytest.fixture
async def store(probe: Probe) -> Store:
    """Three accounts with snapshots and a person without; 20 events."""
    store = Store(probe)
    accounts = Repository(store, Account, snapshot_every=None)
    for name in ("a", "b", "c"):
        account = Account.open(name)
        for amount in range(1, 6):
            account.deposit(amount)
        await accounts.save(account, metadata=Metadata(actor="ada"))
        await accounts.snapshot(account)
    person = Person("p")
    person.register("Ada")
    person.register("Eve")
    await Repository(store, Person).save(person)
    probe.reset()
    return Store(probe)


async def spoil(store: Store, name: str, **changes: Any) -> None:
    """Change a snapshot."""
    found = await store.backend.read_snapshot(name)
    assert found is not None
    changed = msgspec.structs.replace(found, **changes)
    assert await store.backend.save_snapshot(changed, replacing=found.version)


def kinds(result: Verification) -> dict[str, int]:
    """How often each kind of damage was found."""
    found: dict[str, int] = {finding.kind: finding.count for finding in result.findings}
    assert len(found) == len(result.findings)
    return found


async def test_a_sound_store_is_found_sound(store: Store) -> None:
    """All of it was looked at."""
    result = await verify(store, [Account, Person])
    assert result == Verification(
        aggregate_types=("Account", "Person"), events=20, snapshots=3, findings=()
    )
    assert result.sound


async def test_without_aggregates_only_the_structure_is_looked_at(
    store: Store, probe: Probe
) -> None:
    """The database does that; nothing is read."""
    await spoil(store, "a", data='{"owner":"Eve"}')
    probe.reset()
    result = await verify(store)
    assert (result.aggregate_types, result.events, result.sound) == ((), 0, True)
    assert probe.calls == ["inspect"]


async def test_nothing_is_written(store: Store, probe: Probe) -> None:
    """Not even what could be mended."""
    await spoil(store, "a", data='{"owner":"Eve"}')
    probe.reset()
    await verify(store, [Account, Person])
    assert not {"append", "import_events", "save_snapshot"}.intersection(probe.calls)


async def test_each_unknown_type_is_told_once(store: Store) -> None:
    """With the number of its events, and where the first one is."""
    await store.backend.append([append_to("t", 3), append_to("p2", 1, type="Person")])
    result = await verify(store, [Person])
    assert kinds(result) == {"aggregate-type-unknown": 2, "event-type-unknown": 1}
    aggregates, events = result.findings
    assert [place.what for place in aggregates.places] == [
        "no class for the aggregate type 'Account' (18 events), such as that of 'a'",
        "no class for the aggregate type 'Thing' (3 events), such as that of 't'",
    ]
    assert events.places[0].what == (
        "no class for the event type 'Happened' of 'Person' (1 events), such as version 1 of 'p2'"
    )


async def test_events_that_the_code_cannot_decode_are_told(store: Store) -> None:
    """Each with the reason, and no value of it."""
    result = await verify(store, [Purse, Person])
    assert kinds(result) == {"event-type-unknown": 1, "event-undecodable": 15}
    undecodable = result.findings[-1]
    place = undecodable.places[0]
    assert (place.aggregate_id, place.version, place.position) == ("a", 2, 2)
    assert "missing required field `reason`" in place.what


async def test_metadata_that_the_code_cannot_decode_is_told(store: Store) -> None:
    """It is a part of the event."""
    event = new_event({"name": "Ada"}, type="Registered", metadata='{"actor": ')
    await store.backend.append([append_to("q", [event], type="Person")])
    result = await verify(store, [Account, Person])
    assert kinds(result) == {"metadata-not-object": 1, "event-undecodable": 1}


async def test_a_snapshot_that_is_not_the_fold_is_told(store: Store) -> None:
    """With the field that differs, and no value of it."""
    await spoil(store, "b", data='{"owner":"Ada","balance":"15","entries":[]}')
    result = await verify(store, [Account, Person])
    assert kinds(result) == {"snapshot-differs": 1}
    (place,) = result.findings[0].places
    assert (
        place.what == "the snapshot of 'b' at version 6 differs from its events: its field entries"
    )
    assert result.snapshots == 3


async def test_snapshots_that_other_code_made_are_no_damage(store: Store) -> None:
    """They are counted, for they were not compared."""
    await spoil(store, "b", fingerprint="other", data="nonsense?")
    await spoil(store, "c", fingerprint="other", data="{}")
    result = await verify(store, [Account, Person])
    assert (result.snapshots, result.foreign) == (1, 2)
    assert kinds(result) == {"snapshot-not-json": 1}


async def test_a_snapshot_ahead_is_told_once(store: Store) -> None:
    """The database finds it, and it cannot be compared."""
    await spoil(store, "b", version=7)
    assert kinds(await verify(store, [Account, Person])) == {"snapshot-ahead": 1}


@pytest.mark.parametrize(("version", "kind"), [(7, "snapshot-ahead"), (0, "snapshot-out-of-range")])
async def test_a_snapshot_that_no_event_bears_out_is_told_though_the_database_has_not(
    version: int, kind: str, store: Store, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a query of the database's that does not see it, while it sees another."""
    await spoil(store, "a", version=7)
    found = await probe.inspect()
    await spoil(store, "b", version=version)

    async def half_blind() -> Any:
        return found

    monkeypatch.setattr(probe, "inspect", half_blind)
    result = await verify(store, [Account, Person])
    assert [(each.kind, each.places[0].aggregate_id) for each in result.findings] == [
        ("snapshot-ahead", "a"),
        (kind, "b"),
    ]


async def test_a_kind_whose_state_cannot_be_kept_has_no_snapshots_to_compare(store: Store) -> None:
    """Its events are decoded."""
    opaque = Opaque("o")
    opaque.record(Grew(by=1))
    await Repository(store, Opaque).save(opaque)
    result = await verify(store, [Account, Person, Opaque])
    assert (result.events, result.snapshots, result.sound) == (21, 3, True)


async def test_a_decider_is_looked_at_like_an_aggregate(store: Store) -> None:
    """An instance of it is given."""
    counter = Counter()("n")
    counter.execute(Grow(by=3))
    counters = Repository(store, Counter())
    await counters.save(counter)
    await counters.snapshot(counter)
    assert (await verify(store, [Account, Person, Counter()])).snapshots == 4
    await spoil(store, "n", data='{"state":{"total":4,"steps":[1,1,1]}}')
    assert kinds(await verify(store, [Account, Person, Counter()])) == {"snapshot-differs": 1}


async def test_a_log_that_is_read_out_of_order_is_told(
    store: Store, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a damaged index of positions."""
    read_all = probe.read_all

    async def disordered(**options: Any) -> LogPage:
        page = await read_all(**options)
        events = [*page.events[:3], page.events[4], page.events[3], *page.events[5:]]
        return LogPage(events=events, checkpoint=page.checkpoint)

    monkeypatch.setattr(probe, "read_all", disordered)
    result = await verify(store, [Account, Person])
    assert kinds(result) == {"position-disordered": 1}
    assert result.findings[0].places[0].what == "reading the log gave position 4 after 5"


async def test_it_ends_though_the_store_grows(
    store: Store, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads as far as the log reached at its start."""
    read_all = probe.read_all

    async def growing(**options: Any) -> LogPage:
        person = Person(f"p-{options['after']}")
        for _ in range(1500):
            person.register("Eve")
        await Repository(Store(probe.backend), Person, snapshot_every=None).save(person)
        return await read_all(**options)

    monkeypatch.setattr(probe, "read_all", growing)
    result = await asyncio.wait_for(verify(store, [Account, Person]), 60)
    assert (result.events, result.sound) == (1000, True)


class TestSamples:
    async def test_so_many_snapshots_of_each_kind_are_compared(self, store: Store) -> None:
        """Or all, if there are fewer."""
        for sample, compared in ((1, 1), (2, 2), (3, 3), (9, 3)):
            result = await verify(store, [Account, Person], sample=sample)
            assert (result.events, result.snapshots) == (20, compared)

    async def test_each_snapshot_may_be_drawn(self) -> None:
        """As often as any other."""

        async def ids() -> AsyncIterator[str]:
            for each in "abcdefgh":
                yield each

        found: Counts[str] = Counts()
        for _ in range(4000):
            some = [each async for each in drawn(ids(), 3)]
            assert len(set(some)) == 3
            found.update(some)
        assert set(found) == set("abcdefgh")
        assert min(found.values()) > 1200  # of 1500; eleven standard deviations below
        assert max(found.values()) < 1800

    @pytest.mark.parametrize("sample", [0, -1])
    async def test_none_at_all_is_refused(self, sample: int, store: Store, probe: Probe) -> None:
        """Before any I/O."""
        with pytest.raises(InvalidInput, match="sample="):
            await verify(store, [Account], sample=sample)
        assert probe.calls == []


@pytest.mark.parametrize("given", [[RenamedTwice], [Counter], ["Account"], [Person, NewerPerson]])
async def test_what_names_no_aggregates_is_refused(
    given: list[Any], store: Store, probe: Probe
) -> None:
    """Or two that bear one stored name."""
    with pytest.raises(InvalidInput):
        await verify(store, given)
    assert probe.calls == []


async def test_two_classes_of_one_stored_name_are_named(store: Store) -> None:
    """Only one of them can be what is stored."""
    with pytest.raises(InvalidInput, match="Person and NewerPerson bear one stored name, 'Person'"):
        await verify(store, [Person, NewerPerson])


async def test_one_aggregate_may_be_given_twice(store: Store) -> None:
    """It counts once."""
    result = await verify(store, [Account, Person, Account])
    assert (result.aggregate_types, result.snapshots) == (("Account", "Person"), 3)


async def test_the_progress_is_told(store: Store) -> None:
    """Of each step, and of how much where that is known."""
    told: list[tuple[str, int, int | None]] = []
    await verify(store, [Account, Person], progress=lambda *step: told.append(step))
    assert told == [
        ("structure", 0, None),
        ("structure", 1, 1),
        ("events", 20, 20),
        ("snapshots", 1, None),
        ("snapshots", 2, None),
        ("snapshots", 3, None),
    ]


@pytest.mark.parametrize("call", ["inspect", "watermark", "read_all", "snapshot_ids", "load"])
async def test_an_outage_ends_it(call: str, store: Store, probe: Probe) -> None:
    """It is no damage."""
    probe.broken.add(call)
    with pytest.raises(EventStoreUnavailable, match=f"the test broke {call}"):
        await verify(store, [Account, Person])
