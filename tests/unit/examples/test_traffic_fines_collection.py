"""The process of penalties and collections, and its decisions over the sample of the log."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from examples.traffic_fines.run_collection import Clock, compared, decisions, run

from hitherto import Event, Metadata, RecordedEvent, Store, connect
from hitherto.examples.traffic_fines import (
    FineCreated,
    FineNotified,
    FineSent,
    JudgeAppealed,
    PaymentReceived,
    PrefectureAppealEntered,
    PrefectureAppealSent,
    PrefectureResultNotified,
    sample_lines,
)
from hitherto.examples.traffic_fines.collection import (
    PLACE,
    AddPenalty,
    Collection,
    PenaltyDecided,
    SendToCollection,
)


def on_day(*day: int) -> datetime:
    return datetime(*day, tzinfo=PLACE)  # type: ignore[arg-type, misc]


CREATED, SENT, NOTIFIED = on_day(2006, 8, 2), on_day(2006, 12, 12), on_day(2007, 1, 15)
DEADLINE, ROUND = on_day(2007, 3, 16), on_day(2009, 3, 30)


def told(event: Event) -> RecordedEvent[Any]:
    """The event as the process is given it."""
    return RecordedEvent(
        event=event,
        event_id=uuid4(),
        event_type=event.__event_type__,
        schema_version=1,
        aggregate_id="A100",
        aggregate_type="Fine",
        version=1,
        position=1,
        occurred_at=NOTIFIED,
        stored_at=NOTIFIED,
        metadata=Metadata(),
    )


def notified_fine(*others: Event) -> Collection:
    """The process of a fine over 35 euros and 11 of postage, with what else happened to it."""
    process = Collection("Collection-A100")
    created = FineCreated(
        at=CREATED,
        amount=Decimal(35),
        resource="561",
        dismissal="NIL",
        vehicle_class="A",
        total_paid=Decimal(0),
        article=157,
        points=0,
    )
    events: list[Event] = [created, FineSent(at=SENT, expense=Decimal(11))]
    events.append(FineNotified(at=NOTIFIED, notification_type="P"))
    for event in [*events, *others]:
        process.react(told(event))
    return process


def payment(amount: int, at: datetime) -> PaymentReceived:
    return PaymentReceived(at=at, amount=Decimal(amount), total_paid=Decimal(amount))


def fired(process: Collection, name: str, due: datetime) -> tuple[object, ...]:
    """What else it has sent when the timer has fired."""
    before = len(process.commands)
    process.on_timer(name, due)
    return process.commands[before:]


def test_the_penalty_is_due_sixty_days_after_the_notification() -> None:
    """Days are those of the place: midnight stays midnight when the clocks are changed."""
    assert notified_fine().timers == {"penalty": DEADLINE}
    summer = on_day(2007, 2, 1)
    process = notified_fine()
    process.react(told(FineNotified(at=summer, notification_type="P")))
    due = process.timers["penalty"]
    assert due is not None
    assert due.isoformat() == "2007-04-02T00:00:00+02:00"


def test_an_unpaid_fine_is_raised_by_the_laws_penalty() -> None:
    """The amount is the law's, and collection waits for its round."""
    process = notified_fine()
    assert fired(process, "penalty", DEADLINE) == (
        AddPenalty(fine="A100", amount=Decimal("71.5"), at=DEADLINE),
    )
    assert process.pending[-1] == PenaltyDecided(amount=Decimal("71.5"))
    assert process.timers["collection"] == ROUND
    assert fired(process, "collection", ROUND) == (SendToCollection(fine="A100", at=ROUND),)


def test_a_payment_in_full_ends_it() -> None:
    """Both timers are cancelled."""
    process = notified_fine(payment(46, on_day(2007, 2, 1)))
    assert process.timers == {"penalty": None, "collection": None}


def test_a_payment_in_part_does_not() -> None:
    """The postage is owed, too."""
    process = notified_fine(payment(35, on_day(2007, 2, 1)))
    assert process.timers == {"penalty": DEADLINE}
    assert len(fired(process, "penalty", DEADLINE)) == 1


@pytest.mark.parametrize(("late", "sent"), [(9, 0), (10, 1)])
def test_a_payment_under_way_at_the_deadline_was_in_time(late: int, sent: int) -> None:
    """Who has paid the first amount in time is not handed over, once the postage is paid."""
    process = notified_fine()
    process.on_timer("penalty", DEADLINE)
    process.react(told(payment(46, DEADLINE + timedelta(days=late))))
    assert len(fired(process, "collection", ROUND)) == sent


def test_days_under_way_are_counted_on_the_calendar() -> None:
    """The hour that the clocks are put forward does not make the tenth day the ninth."""
    process = Collection("Collection-A100")
    for event in notified_fine().pending:
        process.record(event)
    restored = datetime.fromisoformat("2007-03-20T00:00:00+01:00")
    process.penalty_at = restored
    process.react(told(payment(46, on_day(2007, 3, 30))))
    assert process.paid_in_time == 0


@pytest.mark.parametrize(
    "dismissal",
    [
        PrefectureAppealSent(at=NOTIFIED, dismissal="#"),
        JudgeAppealed(at=NOTIFIED, resource="1", dismissal="G", registration=0),
    ],
)
def test_a_dismissal_ends_it(dismissal: Event) -> None:
    """Nothing is owed any more."""
    process = notified_fine(dismissal)
    assert process.timers == {"penalty": None, "collection": None}
    assert not process.outstanding


def test_an_appeal_holds_collection_up_until_it_is_answered() -> None:
    """The next round takes it, if the offender knows the answer by then."""
    process = notified_fine(PrefectureAppealEntered(at=NOTIFIED))
    process.on_timer("penalty", DEADLINE)
    assert fired(process, "collection", ROUND) == ()
    following = on_day(2010, 10, 15)
    assert process.timers["collection"] == following
    process.react(told(PrefectureResultNotified(at=on_day(2010, 1, 1))))
    assert fired(process, "collection", following) == (SendToCollection(fine="A100", at=following),)


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/fines.db"
    async with connect(url, clock=Clock()) as opened:
        yield opened


async def test_its_decisions_are_those_of_the_rules(kind: str, store: Store) -> None:
    """Over the sample, day by day: every penalty and every collection, or none, of every fine."""
    clock = store.clock
    assert isinstance(clock, Clock)
    lines = sample_lines()[:: 8 if kind == "sqlite" else 1]
    await run(store, clock, lines)
    by_rule, by_force = compared(lines, await decisions(store))
    assert by_rule.different == []
    assert by_rule.counts["penalty: the same"] > 0.4 * len(lines)
    assert by_rule.counts["collection: the same"] > 0.3 * len(lines)
    assert len(by_force.different) < 0.1 * len(lines)


async def test_batches_do_not_matter(store: Store) -> None:
    """One event a transaction or many: the decisions are the same."""
    clock = store.clock
    assert isinstance(clock, Clock)
    lines = sample_lines()[::20]
    await run(store, clock, lines, batch=1)
    by_rule, _ = compared(lines, await decisions(store))
    assert by_rule.different == []
