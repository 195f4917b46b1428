"""What the demo does, step by step."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from hitherto import (
    Aggregate,
    AggregateVersionConflict,
    Event,
    EventStoreUnavailable,
    Repository,
    Store,
)
from hitherto.cli.demo import steps
from hitherto.examples.traffic_fines import (
    Fine,
    PaymentReceived,
    fine_of,
    import_fines,
    sample_lines,
)
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing import Probe

START = datetime(2006, 12, 31, 23, tzinfo=UTC)


class Reminded(Event):
    """Of another aggregate, whose stored name is that of a fine."""


class Letter(Aggregate[Reminded], type="Fine"):
    """One that nobody should have called a fine."""

    def apply(self, event: Reminded) -> None:
        """Nothing comes of it."""


class Parcel(Aggregate[Reminded]):
    """Something else in the same store."""

    def apply(self, event: Reminded) -> None:
        """Nothing comes of it."""


@pytest.fixture
def probe() -> Probe:
    """A memory store's backend."""
    return Probe(MemoryStore())


@pytest.fixture
async def store(probe: Probe) -> AsyncIterator[Store]:
    """An empty store."""
    async with Store(probe) as store:
        yield store


@pytest.fixture
def fines(store: Store) -> Repository[Fine]:
    """Its fines."""
    return Repository(store, Fine)


def new_fine(fine_id: str = "A1", *, at: datetime = START) -> Fine:
    """Over 35 euros."""
    fine = Fine(fine_id)
    fine.create(Decimal(35), at=at, article=7, vehicle_class="A", resource="0")
    return fine


class TestPrefix:
    async def test_each_run_has_ids_of_its_own(self, fines: Repository[Fine]) -> None:
        """The first has the log's."""
        for prefix in ("", "run2-", "run3-"):
            assert await steps.free_prefix(fines, "A1") == prefix
            await fines.save(new_fine(f"{prefix}A1"))


class TestActivities:
    async def test_they_are_counted_from_a_position_on(
        self, store: Store, fines: Repository[Fine]
    ) -> None:
        """What was there before is another run's."""
        first = await fines.save(new_fine("A1"))
        fine = new_fine("A2")
        fine.pay(Decimal(1), at=START)
        fine.pay(Decimal(1), at=START)
        await fines.save(fine)
        assert first is not None
        assert await steps.count_activities(store, 0) == {"Create Fine": 2, "Payment": 2}
        assert await steps.count_activities(store, first) == {"Create Fine": 1, "Payment": 2}

    async def test_other_aggregates_are_not_read(
        self, store: Store, fines: Repository[Fine], probe: Probe
    ) -> None:
        """Of another program's nobody here knows the events."""
        parcel = Parcel("x")
        parcel.record(Reminded())
        await Repository(Store(probe), Parcel).save(parcel)
        await fines.save(new_fine())
        assert await steps.count_activities(store, 0) == {"Create Fine": 1}

    async def test_other_events_are_not_counted(self, store: Store) -> None:
        """Nor do they break the count."""
        letter = Letter("x")
        letter.record(Reminded())
        await Repository(store, Letter).save(letter)
        assert await steps.count_activities(store, 0) == {}


class TestHistory:
    async def test_what_is_outstanding_follows_each_event(self, fines: Repository[Fine]) -> None:
        """Oldest first."""
        fine = new_fine()
        fine.send(Decimal("11.50"), at=START)
        fine.pay(Decimal("40.00"), at=START)
        await fines.save(fine)
        moments = await steps.tell_history(fines, "A1")
        assert [moment.recorded.version for moment in moments] == [1, 2, 3]
        assert [moment.outstanding for moment in moments] == [35, Decimal("46.5"), Decimal("6.5")]


class TestRace:
    async def test_one_writer_wins_and_both_payments_are_in(self, fines: Repository[Fine]) -> None:
        """The loser was told of the winner's version."""
        await fines.save(new_fine())
        race = await steps.race(fines, "A1")
        assert {race.winner, race.loser} == {"Anna", "Bruno"}
        assert race.decided_on == 1
        assert isinstance(race.conflict, AggregateVersionConflict)
        assert (race.conflict.expected, race.conflict.actual) == (1, 2)
        assert (race.settled.version, race.settled.paid) == (3, 2 * steps.PAYMENT)

    async def test_another_error_is_no_race(self, fines: Repository[Fine], probe: Probe) -> None:
        """It is raised as it is."""
        await fines.save(new_fine())
        probe.broken.add("append")
        with pytest.raises(EventStoreUnavailable):
            await steps.race(fines, "A1")


class TestSnapshot:
    @pytest.fixture(autouse=True)
    def _few_instalments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(steps, "INSTALMENTS", 50)

    async def test_the_states_are_compared(self, store: Store, fines: Repository[Fine]) -> None:
        """A load that starts at the snapshot, and one that folds all events."""
        comparison = await steps.compare_snapshot(store, "A1")
        assert (comparison.events, comparison.snapshot_at) == (50, 30)
        assert comparison.equal
        assert comparison.full_fold > 0 < comparison.from_snapshot
        snapshot = await store.backend.read_snapshot("A1")
        assert snapshot is not None
        assert snapshot.version == 30
        assert (await fines.load("A1")).paid == Decimal("24.50")

    async def test_a_snapshot_that_tells_something_else_is_noticed(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The demo would say so."""
        take = Repository.snapshot

        async def forge(self: Repository[Fine], fine: Fine) -> bool:
            fine.paid += 1
            return await take(self, fine)

        monkeypatch.setattr(Repository, "snapshot", forge)
        assert not (await steps.compare_snapshot(store, "A1")).equal


class TestYears:
    async def test_the_whole_sample_is_summed(self, fines: Repository[Fine]) -> None:
        """As counted from the log alone, by the year on the clock of the place."""
        expected: dict[int, tuple[int, Decimal, Decimal]] = {}
        lines = sample_lines()
        for line in lines:
            events = json.loads(line, parse_float=Decimal)["events"]
            dropped = {("Send Appeal to Prefecture", "#"), ("Appeal to Judge", "G")}
            dismissed = any(
                (event["activity"], event.get("dismissal")) in dropped for event in events
            )
            amount = [event["amount"] for event in events if "amount" in event][-1]
            postage = sum(event.get("expense", Decimal(0)) for event in events)
            paid = sum(event.get("paymentAmount", Decimal(0)) for event in events)
            owed = Decimal(0) if dismissed else amount + postage
            number = int(events[0]["at"][:4])
            count, all_owed, outstanding = expected.get(number, (0, Decimal(0), Decimal(0)))
            expected[number] = (
                count + 1, all_owed + owed, outstanding + max(owed - paid, Decimal(0))
            )  # fmt: skip
        await import_fines(fines, lines)
        years = await steps.sum_years(fines, (fine_of(line).id for line in lines))
        assert list(years) == sorted(expected)
        assert {
            number: (year.fines, year.owed, year.outstanding) for number, year in years.items()
        } == expected

    async def test_a_fine_belongs_to_the_year_of_the_place(self, fines: Repository[Fine]) -> None:
        """In Rome the new year had begun."""
        in_rome = datetime.fromisoformat("2007-01-01T00:00:00+01:00")
        assert in_rome == START
        await fines.save_all(new_fine("A1"), new_fine("A2", at=in_rome))
        years = await steps.sum_years(fines, ["A2", "A1", "unknown"])
        assert list(years) == [2006, 2007]
        assert years[2007] == steps.Year(fines=1, owed=Decimal(35), outstanding=Decimal(35))

    async def test_a_fine_of_unknown_creation_belongs_to_no_year(
        self, fines: Repository[Fine]
    ) -> None:
        """As after an import by other means."""
        fine = Fine("A1")
        fine.record(PaymentReceived(at=START, amount=Decimal(1), total_paid=Decimal(1)))
        await fines.save(fine)
        assert await steps.sum_years(fines, ["A1"]) == {}
