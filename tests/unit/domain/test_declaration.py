"""What an aggregate class declares: its events, its state and its stored name."""

import types
from decimal import Decimal
from typing import Any, Generic, Optional, TypeVar, Union

import pytest
from tests.unit.domain.account import Account, Closed, Deposited, Opened, OtherDeposited
from typing_extensions import TypeAliasType

from hitherto import Aggregate, Event, InvalidInput

E = TypeVar("E", bound=Event)
T = TypeVar("T")


def test_the_union_is_the_schema() -> None:
    """Its events by stored name, and the type's stored name."""
    assert Account.definition.aggregate_type == "Account"
    assert Account.definition.events == {"Opened": Opened, "Deposited": Deposited}


def test_the_annotated_fields_are_the_state() -> None:
    """Class variables are not."""
    assert Account.definition.fields == ("owner", "balance", "entries", "by_name", "never")
    types = Account.definition.state_types()
    assert types["entries"] == list[Decimal]


def test_an_apply_that_would_have_to_be_awaited_is_refused() -> None:
    """Nothing would be folded, and Python only warns."""
    with pytest.raises(TypeError, match=r"Later\.apply is `async def`"):

        class Later(Aggregate[Opened]):
            async def apply(self, event: Opened) -> None:  # type: ignore[override]
                pass


def test_a_stored_name_can_be_given() -> None:
    """As can the version of its snapshots."""

    class Named(Aggregate[Opened], type="account", snapshot_version=4):
        pass

    assert Named.definition.aggregate_type == "account"
    assert Named.definition.snapshot_version == 4


@pytest.mark.parametrize("name", ["", "x" * 256, "\0", "\ud800"])
def test_a_name_that_cannot_be_stored_is_refused(name: str) -> None:
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
        TypeAliasType("Alias", TypeAliasType("One", Opened) | Deposited),
    ],
)
def test_a_union_can_be_written_in_each_way(union: Any) -> None:
    """With ``|``, with Union and as a type alias."""

    class Some(Aggregate[union]):
        pass

    assert set(Some.definition.events) == {"Opened", "Deposited"}


@pytest.mark.parametrize("bad", [str, Opened | int, Optional[Opened], Event, Any, "Opened"])  # noqa: UP045
def test_a_union_of_anything_else_is_refused(bad: Any) -> None:
    """Its members are event classes."""
    with pytest.raises(TypeError, match=r"Bad: .*not a subclass of Event"):

        class Bad(Aggregate[bad]):
            pass


def test_two_events_may_not_bear_one_stored_name() -> None:
    """The decoder could not be chosen."""
    with pytest.raises(TypeError, match=r"Deposited and OtherDeposited bear one .*'Deposited'"):

        class Bad(Aggregate[Deposited | OtherDeposited]):
            pass


def test_one_stored_name_may_be_in_two_unions() -> None:
    """An event type belongs to its aggregate type."""

    class Other(Aggregate[OtherDeposited]):
        pass

    assert Other.definition.events["Deposited"] is OtherDeposited
    assert Account.definition.events["Deposited"] is Deposited


def test_events_must_be_named() -> None:
    """The declaration is what decoders are chosen by."""
    with pytest.raises(TypeError, match="say which events"):

        class Bad(Aggregate):  # type: ignore[type-arg]
            pass


def test_a_subclass_inherits_the_events() -> None:
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


def test_a_generic_base_leaves_the_events_open() -> None:
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


def test_a_generic_base_may_have_type_arguments_of_its_own() -> None:
    """They are not taken for the events."""

    class Base(Aggregate[E], Generic[T, E]):
        pass

    class Middle(Base[T, Opened | Closed], Generic[T]):
        pass

    class Derived(Middle[int]):
        pass

    assert set(Derived.definition.events) == {"Opened", "Closed"}


def test_a_subclass_may_name_other_events() -> None:
    """It is a type of its own."""

    class Wider(Account, Aggregate[Opened | Deposited | Closed]):
        pass

    assert set(Wider.definition.events) == {"Opened", "Deposited", "Closed"}


@pytest.mark.parametrize(
    "name", ["id", "version", "pending", "record", "apply", "definition", "_id"]
)
def test_a_field_may_not_take_a_name(name: str) -> None:
    """That the base class uses."""
    with pytest.raises(TypeError, match=f"may not be named '{name}'"):
        types.new_class(
            "Bad",
            (Aggregate[Opened],),
            exec_body=lambda body: body.update({"__annotations__": {name: int}}),
        )


def test_an_aggregate_can_be_made_of_its_id_alone() -> None:
    """A load makes it so; that is seen at definition, and not when there are events already."""
    with pytest.raises(TypeError, match=r"Named.__init__: .*'name': a load makes"):

        class Named(Aggregate[Opened]):
            def __init__(self, id: str, name: str) -> None:
                super().__init__(id)
                self.name = name

    class Silent(Aggregate[Opened]):
        def __init__(self, id: str, name: str = "") -> None:
            super().__init__(id)

    assert Silent("a-1").id == "a-1"
