"""Aggregates: their declaration, their decisions, and the fold of their events."""

# ruff: noqa: RUF012  # mutable defaults are copied for each aggregate

import types
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, ClassVar, Generic, Optional, TypeVar, Union
from uuid import UUID

import pytest
from typing_extensions import TypeAliasType

from hitherto import (
    Aggregate,
    AggregateIDMismatch,
    Event,
    InvalidAggregateState,
    InvalidInput,
    Metadata,
    RecordedEvent,
)

E = TypeVar("E", bound=Event)
T = TypeVar("T")


class Nowhere(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: Decimal


class OtherDeposited(Event, type="Deposited"):
    amount: int


class Closed(Event):
    pass


AccountEvent = Opened | Deposited


class Account(Aggregate[AccountEvent]):
    limit: ClassVar[int] = 10
    text_limit: "ClassVar[int]" = 10
    owner: str = ""
    balance: Decimal = Decimal(0)
    entries: list[Decimal] = []
    by_name: dict[str, list[int]] = {"x": []}
    never: int

    def deposit(self, amount: int) -> None:
        self.record(Deposited(amount=Decimal(amount)))

    def apply(self, event: AccountEvent) -> None:
        match event:
            case Opened(owner=owner):
                self.owner = owner
            case Deposited(amount=amount):
                self.balance += amount
                self.entries.append(amount)


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


class TestDeclaration:
    def test_the_union_is_the_schema(self) -> None:
        """Its events by stored name, and the type's stored name."""
        assert Account.definition.aggregate_type == "Account"
        assert Account.definition.events == {"Opened": Opened, "Deposited": Deposited}

    def test_the_annotated_fields_are_the_state(self) -> None:
        """Class variables are not."""
        assert Account.definition.fields == ("owner", "balance", "entries", "by_name", "never")
        types = Account.definition.state_types()
        assert types["entries"] == list[Decimal]

    def test_a_stored_name_can_be_given(self) -> None:
        """As can the version of its snapshots."""

        class Named(Aggregate[Opened], type="account", snapshot_version=4):
            pass

        assert Named.definition.aggregate_type == "account"
        assert Named.definition.snapshot_version == 4

    @pytest.mark.parametrize("name", ["x" * 256, "\0", "\ud800"])
    def test_a_name_that_cannot_be_stored_is_refused(self, name: str) -> None:
        """At definition."""
        with pytest.raises(InvalidInput, match="stored name of Named"):

            class Named(Aggregate[Opened], type=name):
                pass

    @pytest.mark.parametrize(
        "union",
        [
            Opened | Deposited,
            Union[Opened, Deposited],  # noqa: UP007
            TypeAliasType("Alias", Opened | Deposited),
        ],
    )
    def test_a_union_can_be_written_in_each_way(self, union: Any) -> None:
        """With ``|``, with Union and as a type alias."""

        class Some(Aggregate[union]):
            pass

        assert set(Some.definition.events) == {"Opened", "Deposited"}

    @pytest.mark.parametrize("bad", [str, Opened | int, Optional[Opened], Event, Any, "Opened"])  # noqa: UP045
    def test_a_union_of_anything_else_is_refused(self, bad: Any) -> None:
        """Its members are event classes."""
        with pytest.raises(TypeError, match=r"Bad: .*not a subclass of Event"):

            class Bad(Aggregate[bad]):
                pass

    def test_two_events_may_not_bear_one_stored_name(self) -> None:
        """The decoder could not be chosen."""
        with pytest.raises(TypeError, match=r"Deposited and OtherDeposited bear one .*'Deposited'"):

            class Bad(Aggregate[Deposited | OtherDeposited]):
                pass

    def test_one_stored_name_may_be_in_two_unions(self) -> None:
        """An event type belongs to its aggregate type."""

        class Other(Aggregate[OtherDeposited]):
            pass

        assert Other.definition.events["Deposited"] is OtherDeposited
        assert Account.definition.events["Deposited"] is Deposited

    def test_events_must_be_named(self) -> None:
        """The declaration is what decoders are chosen by."""
        with pytest.raises(TypeError, match="say which events"):

            class Bad(Aggregate):  # type: ignore[type-arg]
                pass

    def test_a_subclass_inherits_the_events(self) -> None:
        """With its own name, and its fields beside the inherited ones."""

        class Savings(Account):
            rate: Decimal = Decimal(1)

        assert Savings.definition.aggregate_type == "Savings"
        assert Savings.definition.events == Account.definition.events
        assert Savings.definition.fields == (*Account.definition.fields, "rate")
        savings = Savings("s-1")
        savings.deposit(3)
        assert savings.entries == [3]
        assert Account("a-1").entries == []

    def test_a_generic_base_leaves_the_events_open(self) -> None:
        """Whoever derives from it names them."""

        class Base(Aggregate[E], Generic[E]):
            touched: int = 0

            def apply(self, event: E) -> None:
                self.touched += 1

        class Derived(Base[Opened]):
            pass

        assert not hasattr(Base, "definition")
        assert set(Derived.definition.events) == {"Opened"}
        assert Derived.definition.fields == ("touched",)

    def test_a_generic_base_may_have_type_arguments_of_its_own(self) -> None:
        """They are not taken for the events."""

        class Base(Aggregate[E], Generic[T, E]):
            pass

        class Middle(Base[T, Opened | Closed], Generic[T]):
            pass

        class Derived(Middle[int]):
            pass

        assert set(Derived.definition.events) == {"Opened", "Closed"}

    def test_a_subclass_may_name_other_events(self) -> None:
        """It is a type of its own."""

        class Wider(Account, Aggregate[Opened | Deposited | Closed]):
            pass

        assert set(Wider.definition.events) == {"Opened", "Deposited", "Closed"}

    @pytest.mark.parametrize(
        "name", ["id", "version", "pending", "record", "apply", "definition", "_id"]
    )
    def test_a_field_may_not_take_a_name(self, name: str) -> None:
        """That the base class uses."""
        with pytest.raises(TypeError, match=f"may not be named '{name}'"):
            types.new_class(
                "Bad",
                (Aggregate[Opened],),
                exec_body=lambda body: body.update({"__annotations__": {name: int}}),
            )


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
