"""Old events become today's: every version that was ever released is read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitherto import Aggregate, Event, EventSerializationFailed
from hitherto.application.codec import JsonCodec, Serializer
from hitherto.application.records import StoredEvent

CODEC = JsonCodec()

# ---- the releases of an example: what each one's classes were ----


class Registered1(Event, type="CustomerRegistered"):
    """Release 1: a name in one piece, a balance in cents."""

    name: str
    cents: int


class Registered2(Event, type="CustomerRegistered", schema=2):
    """Release 2: euros instead of cents."""

    name: str
    balance: Decimal


class Registered3(Event, type="CustomerRegistered", schema=3):
    """Release 3: with what calls for no upcaster, a new field that has a default."""

    name: str
    balance: Decimal
    language: str = "en"


class Contacted1(Event, type="ContactGiven"):
    """Releases 1 and 2: mail and telephone at once."""

    mail: str
    phone: str | None = None


class Pinged1(Event, type="CustomerPinged"):
    """Releases 1 to 3: it never meant anything."""

    at: datetime


# ---- today ----


class CustomerJoined(Event, schema=4, formerly="CustomerRegistered"):
    first: str
    last: str
    balance: Decimal
    language: str = "en"


class MailGiven(Event):
    mail: str


class PhoneGiven(Event):
    phone: str


CustomerEvent = CustomerJoined | MailGiven | PhoneGiven


class Customer(Aggregate[CustomerEvent]):
    balance: Decimal = Decimal(0)

    def apply(self, event: CustomerEvent) -> None:
        if isinstance(event, CustomerJoined):
            self.balance = event.balance


@CustomerJoined.upcast(1)
def euros(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": fields["name"], "balance": Decimal(fields["cents"]) / 100}


@CustomerJoined.upcast(3)
def names(fields: dict[str, Any]) -> dict[str, Any]:
    first, _, last = fields.pop("name").partition(" ")
    return {**fields, "first": first, "last": last}


@Customer.upcast("ContactGiven")
def contacts(fields: dict[str, Any]) -> Sequence[CustomerEvent]:
    phone = fields.get("phone")
    given: list[CustomerEvent] = [MailGiven(mail=fields["mail"])]
    return given if phone is None else [*given, PhoneGiven(phone=phone)]


@Customer.upcast("CustomerPinged")
def nothing(_: dict[str, Any]) -> Sequence[CustomerEvent]:
    return []


TODAY = Serializer[Any](Customer.definition, CODEC)

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
money = st.decimals(-(10**9), 10**9, places=2)


def joined(name: str, balance: Decimal, language: str = "en") -> Sequence[Event]:
    first, _, last = name.partition(" ")
    return [CustomerJoined(first=first, last=last, balance=balance, language=language)]


RELEASED: Mapping[str, st.SearchStrategy[tuple[Event, Sequence[Event]]]] = {
    "CustomerRegistered 1": st.builds(
        lambda name, cents: (
            Registered1(name=name, cents=cents),
            joined(name, Decimal(cents) / 100),
        ),
        text,
        st.integers(-(10**12), 10**12),
    ),
    "CustomerRegistered 2": st.builds(
        lambda name, balance: (Registered2(name=name, balance=balance), joined(name, balance)),
        text,
        money,
    ),
    "CustomerRegistered 3": st.builds(
        lambda *told: (
            Registered3(name=told[0], balance=told[1], language=told[2]),
            joined(*told),
        ),
        text,
        money,
        text,
    ),
    "ContactGiven 1": st.builds(
        lambda mail, phone: (
            Contacted1(mail=mail, phone=phone),
            [MailGiven(mail=mail), *([] if phone is None else [PhoneGiven(phone=phone)])],
        ),
        text,
        st.none() | text,
    ),
    "CustomerPinged 1": st.builds(
        lambda at: (Pinged1(at=at), []), st.datetimes(timezones=st.just(UTC))
    ),
    "today's": st.builds(
        lambda first, balance: (
            CustomerJoined(first=first, last="", balance=balance),
            [CustomerJoined(first=first, last="", balance=balance)],
        ),
        text,
        money,
    ),
}


def stored(event_type: str, schema: int, data: str) -> StoredEvent:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    return StoredEvent(
        position=7,
        event_id=UUID(int=7),
        event_type=event_type,
        schema_version=schema,
        aggregate_id="c-1",
        aggregate_type="Customer",
        version=1,
        data=data,
        metadata=None,
        occurred_at=moment,
        stored_at=moment,
    )


@pytest.mark.parametrize("release", RELEASED)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_released_version_is_read_as_todays(release: str, data: st.DataObject) -> None:
    """What its own code has stored becomes what it means now, by load and by log alike."""
    event, expected = data.draw(RELEASED[release])
    old = stored(event.__event_type__, event.__schema_version__, CODEC.encode(event))
    assert [each.event for each in TODAY.recorded(old)] == list(expected)
    row = (1, old.event_type, old.schema_version, old.data, "Customer")
    ((_, told),) = TODAY.decode_stream("c-1", [row])
    assert (list(told) if isinstance(told, tuple) else [told]) == list(expected)


def test_every_schema_that_there_was_is_among_the_releases() -> None:
    """Else the test above would pass over one."""
    released = {
        ("CustomerRegistered", cls.__schema_version__)
        for cls in (Registered1, Registered2, Registered3)
    }
    retired = {("ContactGiven", 1), ("CustomerPinged", 1)}
    old = {key for key in TODAY._decoders if key[0] == "CustomerRegistered" and key[1] < 4}
    assert old == released
    assert set(Customer.definition.upcasters) == retired


# ---- what an upcaster may not do ----


def read(event: type[Event], data: str, schema: int = 1) -> Any:
    class Thing(Aggregate[event]):  # type: ignore[valid-type]
        pass

    serializer = Serializer[Any](Thing.definition, CODEC)
    (found,) = serializer.decode_stream("t-1", [(1, "Happened", schema, data, "Thing")])
    return found[1]


def an_event(upcaster: Any) -> type[Event]:
    class Happened(Event, schema=2):
        amount: Decimal = Decimal(0)
        count: int = 0

    Happened.upcast(1)(upcaster)
    return Happened


@pytest.mark.parametrize("returned", [None, [], "x", 1, an_event(lambda fields: fields)()])
def test_an_upcaster_returns_fields(returned: Any) -> None:
    """Mostly somebody forgot to."""
    with pytest.raises(EventSerializationFailed, match=r"upcaster for schema 1 returned .*, not a"):
        read(an_event(lambda _: returned), "{}")


@pytest.mark.parametrize("given", [{"amount": float("nan")}, {"amount": object()}])
def test_what_cannot_be_stored_is_no_result_of_an_upcaster(given: Any) -> None:
    """It would not be an event of today's either."""
    with pytest.raises(EventSerializationFailed, match="cannot be decoded: "):
        read(an_event(lambda _: given), "{}")


def test_numbers_pass_an_upcaster_unharmed() -> None:
    """Large ones, too."""
    event = an_event(lambda fields: fields)
    data = '{"amount": "12345678901234567890.12345678901234567890", "count": 123456789012345678901}'
    found = read(event, data)
    assert found.amount == Decimal("12345678901234567890.12345678901234567890")
    assert found.count == 123456789012345678901


def test_fields_that_are_no_object_are_told() -> None:
    """No upcaster is asked."""
    with pytest.raises(EventSerializationFailed, match="cannot be decoded"):
        read(an_event(lambda fields: fields), "[]")


def test_an_upcaster_cannot_spoil_what_the_next_event_is_given() -> None:
    """Each has a dict of its own."""
    event = an_event(lambda fields: {"count": fields.pop("count") + 1})
    assert [read(event, '{"count": 1}').count for _ in range(2)] == [2, 2]


def test_an_aggregates_upcaster_gives_events_of_its_union() -> None:
    """Anything else could not be folded."""

    class Kept(Event):
        amount: Decimal = Decimal(0)

    class Thing(Aggregate[Kept]):
        pass

    results: dict[str, Any] = {
        "Foreign": [an_event(lambda fields: fields)()],
        "Fields": {"amount": "1"},
        "Nothing": None,
        "Wrong": [Kept(amount="many")],  # type: ignore[arg-type]
    }
    for name, result in results.items():
        Thing.upcast(name)(lambda _, result=result: result)
    serializer = Serializer[Any](Thing.definition, CODEC)
    for name in results:
        with pytest.raises(EventSerializationFailed, match=f"'{name}' .*cannot be decoded"):
            list(serializer.decode_stream("t-1", [(1, name, 1, "{}", "Thing")]))


@pytest.mark.parametrize(("name", "schema"), [("Told", 2), ("Told", 1), ("Said", 2), ("Said", 1)])
def test_the_chain_of_a_class_ends_at_an_upcaster_of_the_aggregate(name: str, schema: int) -> None:
    """Else what schema 2 told of would be lost, of events of schema 1 and of a former name."""

    class Told(Event, schema=3, formerly="Said"):
        mail: str

    class Called(Event):
        phone: str

    class Thing(Aggregate[Told | Called]):
        pass

    @Told.upcast(1)
    def told(fields: dict[str, Any]) -> dict[str, Any]:
        return {"mail": fields["address"], "phone": fields["number"]}

    @Thing.upcast("Told", 2)
    def told_and_called(fields: dict[str, Any]) -> Sequence[Event]:
        return [Told(mail=fields["mail"]), Called(phone=fields["phone"])]

    serializer = Serializer[Any](Thing.definition, CODEC)
    data = {1: '{"address": "a", "number": "1"}', 2: '{"mail": "a", "phone": "1"}'}[schema]
    ((_, events),) = serializer.decode_stream("t-1", [(1, name, schema, data, "Thing")])
    assert events == (Told(mail="a"), Called(phone="1"))


def test_an_inherited_upcaster_for_a_later_schema_takes_nothing_from_a_class() -> None:
    """The class that has the name again begins with schema 1, and is read as it was written."""

    class Told(Event):
        mail: str

    class Moved(Event):
        town: str

    class Base(Aggregate[Told]):
        pass

    Base.upcast("Moved", 2)(lambda _: [])

    class Derived(Base, Aggregate[Told | Moved]):
        pass

    serializer = Serializer[Any](Derived.definition, CODEC)
    data = serializer.encode(Moved(town="Turin"), "d-1")
    ((_, event),) = serializer.decode_stream("d-1", [(1, "Moved", 1, data, "Derived")])
    assert event == Moved(town="Turin")
