"""Aggregates: their state, their decisions, and the fold of their events."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.unit.domain.account import Account, Closed, Deposited, Nowhere, Opened, OtherDeposited

from hitherto import (
    Aggregate,
    AggregateIDMismatch,
    Event,
    InvalidAggregateState,
    InvalidInput,
    Metadata,
    RecordedEvent,
)


def recorded(event: Event, version: int, **changes: Any) -> RecordedEvent[Any]:
    columns: dict[str, Any] = {
        "event": event,
        "event_id": UUID(int=version),
        "event_type": type(event).__event_type__,
        "schema_version": 1,
        "aggregate_id": "a-1",
        "aggregate_type": "Account",
        "version": version,
        "position": version,
        "occurred_at": datetime.now(UTC),
        "stored_at": datetime.now(UTC),
        "metadata": Metadata(),
    }
    return RecordedEvent(**{**columns, **changes})


class TestState:
    def test_it_starts_empty(self) -> None:
        """Without events, and with the defaults of its fields."""
        account = Account("a-1")
        assert (account.id, account.version, account.pending) == ("a-1", 0, ())
        assert (account.owner, int(account.balance), account.entries) == ("", 0, [])
        assert not hasattr(account, "never")

    def test_mutable_defaults_are_copied_for_each(self) -> None:
        """Deeply: no two share one, nor do they with their class."""
        first, second = Account("a-1"), Account("a-2")
        first.entries.append(Decimal(1))
        first.by_name["x"].append(1)
        assert (second.entries, second.by_name) == ([], {"x": []})
        assert (Account.entries, Account.by_name) == ([], {"x": []})

    def test_state_comes_from_events_alone(self) -> None:
        """There is no other way to set it at creation."""
        create: Any = Account
        with pytest.raises(TypeError):
            create("a-1", balance=5)

    @pytest.mark.parametrize("name", ["id", "version", "pending"])
    def test_its_own_properties_are_read_only(self, name: str) -> None:
        """Id, version and pending."""
        with pytest.raises(AttributeError):
            setattr(Account("a-1"), name, 7)

    def test_it_can_be_told_at_a_glance(self) -> None:
        """Its type, id, version and number of pending events; no state."""
        account = Account("a-1")
        account.deposit(777)
        assert repr(account) == "<Account 'a-1' version=0 pending=1>"


class TestRecord:
    def test_an_event_is_applied_and_kept_as_pending(self) -> None:
        """In order."""
        account = Account("a-1")
        account.record(Opened(owner="Ada"))
        account.deposit(5)
        assert (account.owner, int(account.balance), account.version) == ("Ada", 5, 0)
        assert account.pending == (Opened(owner="Ada"), Deposited(amount=Decimal(5)))

    @pytest.mark.parametrize("event", [Closed(), OtherDeposited(amount=1), "Opened", None, Opened])
    def test_an_event_outside_the_union_is_refused(self, event: Any) -> None:
        """Another class of the same stored name too."""
        account = Account("a-1")
        with pytest.raises(InvalidInput, match=r"is not an event of Account: .*'Deposited'"):
            account.record(event)
        assert account.pending == ()

    def test_a_time_needs_a_zone(self) -> None:
        """A time zone object that tells no offset is none."""

        account = Account("a-1")
        for zone in (None, Nowhere()):
            with pytest.raises(InvalidInput, match="no time zone"):
                account.record(Opened(owner=""), occurred_at=datetime(2024, 1, 1, tzinfo=zone))
        assert account.pending == ()

    def test_apply_has_to_be_written(self) -> None:
        """The error names the class."""

        class Lazy(Aggregate[Closed]):
            pass

        with pytest.raises(NotImplementedError, match="Lazy needs a method apply"):
            Lazy("l-1").record(Closed())

    def test_an_event_that_cannot_be_applied_is_not_pending(self) -> None:
        """The decision fails."""

        class Fragile(Aggregate[Closed]):
            def apply(self, event: Closed) -> None:
                raise ZeroDivisionError

        fragile = Fragile("f-1")
        with pytest.raises(ZeroDivisionError):
            fragile.record(Closed())
        assert fragile.pending == ()
        with pytest.raises(InvalidAggregateState, match="may be half changed"):
            fragile.record(Closed())

    def test_what_is_applied_may_not_record(self) -> None:
        """Its event would come before its cause, and again with every load."""

        class Chatty(Aggregate[Closed]):
            def apply(self, event: Closed) -> None:
                self.record(event)

        chatty = Chatty("c-1")
        with pytest.raises(InvalidAggregateState, match="let apply set fields only"):
            chatty.record(Closed())
        assert chatty.pending == ()


class TestFold:
    def test_history_leads_to_the_state(self) -> None:
        """In one go, or in several."""
        history = [
            recorded(Opened(owner="Ada"), 1),
            recorded(Deposited(amount=Decimal(2)), 2),
            recorded(Deposited(amount=Decimal(3)), 3),
        ]
        once, twice = Account("a-1"), Account("a-1")
        once.fold(history)
        twice.fold(history[:1])
        twice.fold(iter(history[1:]))
        for account in (once, twice):
            assert (account.version, int(account.balance), account.owner) == (3, 5, "Ada")
            assert account.pending == ()

    @pytest.mark.parametrize("versions", [[2], [1, 3], [1, 1], [1, 2, 1], [0], [1, 2, 2]])
    def test_versions_must_follow_each_other(self, versions: list[int]) -> None:
        """Neither a gap nor a repetition; the version stays where the history made sense."""
        account = Account("a-1")
        with pytest.raises(InvalidAggregateState, match="'a-1' has version"):
            account.fold(recorded(Deposited(amount=Decimal(1)), each) for each in versions)
        assert account.version == account.balance

    @pytest.mark.parametrize(
        "changes", [{"aggregate_id": "a-2"}, {"aggregate_type": "Person"}], ids=["id", "type"]
    )
    def test_events_of_another_aggregate_are_refused(self, changes: dict[str, str]) -> None:
        """Of another id or another type."""
        account = Account("a-1")
        with pytest.raises(AggregateIDMismatch):
            account.fold([recorded(Opened(owner="x"), 1, **changes)])
        assert (account.version, account.owner) == (0, "")

    def test_pending_events_stand_in_the_way(self) -> None:
        """They were decided on an older state."""
        account = Account("a-1")
        account.deposit(1)
        with pytest.raises(InvalidAggregateState, match="pending"):
            account.fold([recorded(Opened(owner="x"), 1)])

    @pytest.mark.parametrize("bad", ["", "x" * 256, "\0", None])
    def test_an_id_is_checked(self, bad: Any) -> None:
        """At creation."""
        with pytest.raises(InvalidInput, match="aggregate id"):
            Account(bad)


def test_a_recorded_event_cannot_be_changed() -> None:
    """What happened, happened."""
    event: Any = recorded(Opened(owner="Ada"), 1)
    for name in ("event", "version", "metadata"):
        with pytest.raises(AttributeError):
            setattr(event, name, None)


def test_recorded_events_are_equal_by_their_columns() -> None:
    """So that tests can compare histories."""
    now = datetime.now(UTC)
    make: Callable[[int], RecordedEvent[Any]] = lambda version: recorded(  # noqa: E731
        Opened(owner="Ada"), version, occurred_at=now, stored_at=now
    )
    assert make(1) == make(1)
    assert make(1) != make(2)
