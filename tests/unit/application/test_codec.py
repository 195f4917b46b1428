"""From values to JSON text and back, with nothing changed on the way."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hitherto import (
    Aggregate,
    AggregateIDMismatch,
    Event,
    EventSerializationFailed,
    InvalidEventData,
    InvalidInput,
    JsonCodec,
    Metadata,
)
from hitherto.application.codec import Serializer
from hitherto.application.records import StoredEvent


class Paid(Event, schema=3):
    amount: Decimal
    note: str = ""


class Noted(Event, type="note"):
    value: Any


class Plain(Event):
    text: str


class Fine(Aggregate[Paid | Noted | Plain]):
    def apply(self, event: Paid | Noted | Plain) -> None:
        pass


class Angle:
    def __init__(self, degrees: int) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


class Turned(Event):
    by: Angle


class Wheel(Aggregate[Turned]):
    def apply(self, event: Turned) -> None:
        pass


@pytest.fixture
def serializer() -> Serializer[Any]:
    return Serializer(Fine.definition, JsonCodec())


def stored(data: str, *, type: str = "Paid", schema: int = 1, **changes: Any) -> StoredEvent:
    columns: dict[str, Any] = {
        "position": 9,
        "event_id": UUID(int=1),
        "event_type": type,
        "schema_version": schema,
        "aggregate_id": "f-1",
        "aggregate_type": "Fine",
        "version": 4,
        "data": data,
        "metadata": None,
        "occurred_at": datetime(2024, 1, 1, tzinfo=UTC),
        "stored_at": datetime(2024, 1, 2, tzinfo=UTC),
    }
    return StoredEvent(**{**columns, **changes})


class TestJsonCodec:
    def test_values_become_plain_json(self) -> None:
        """Decimals as text, times in ISO 8601, bytes in base64."""
        codec = JsonCodec()
        assert codec.encode(Paid(amount=Decimal("1.50"))) == '{"amount":"1.50","note":""}'
        assert codec.encode([datetime(2024, 1, 1, tzinfo=UTC), b"a"]) == (
            '["2024-01-01T00:00:00Z","YQ=="]'
        )

    @pytest.mark.parametrize(
        "text",
        ["\\u0000", "\\\\u0000", "a\\", "\\", "\\\\", "u0000", "\x01", "\\\x1f", "\u2028"],
    )
    def test_text_that_only_looks_like_nul_is_good(self, text: str) -> None:
        """A backslash and the letters after it are text as any other."""
        codec = JsonCodec()
        assert codec.decoder(Any)(codec.encode([text, {text: text}])) == [text, {text: text}]

    @pytest.mark.parametrize("text", ["\0", "a\0", "\\\0", "\\\\\0", "\\u0000\0"])
    def test_nul_is_refused_wherever_it_stands(self, text: str) -> None:
        """After any number of backslashes."""
        for value in (text, [text], {text: 1}, Plain(text=text)):
            with pytest.raises(EventSerializationFailed, match="NUL"):
                JsonCodec().encode(value)

    def test_the_limit_counts_bytes(self) -> None:
        """Of the text as it is stored."""
        codec = JsonCodec(max_payload=10)
        assert codec.encode("ü" * 4) == '"üüüü"'
        with pytest.raises(InvalidEventData, match=r"takes 12 bytes .* at most 10"):
            codec.encode("ü" * 5)

    def test_a_type_of_ones_own_needs_hooks(self) -> None:
        """With them it is stored and comes back; without them it is refused."""
        codec = JsonCodec(
            enc_hook=lambda angle: angle.degrees, dec_hook=lambda kind, value: kind(value)
        )
        serializer = Serializer[Turned](Wheel.definition, codec)
        text = serializer.encode(Turned(by=Angle(90)), "f-1")
        assert text == '{"by":90}'
        ((_, event),) = serializer.decode_stream("w-1", [(1, "Turned", 1, text, "Wheel")])
        assert event == Turned(by=Angle(90))
        with pytest.raises(EventSerializationFailed, match=r"Turned\.by \(.*\) cannot be stored"):
            JsonCodec().encode(Turned(by=Angle(90)))

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (float("nan"), "Noted.value[0][1] is nan: give a finite number"),
            ("\0", "Noted.value[0][1] contains a NUL character: leave it out"),
            ("\ud800", "Noted.value[0][1] contains a lone surrogate, which is not valid text"),
        ],
    )
    def test_a_message_names_the_class_and_the_place(self, value: Any, told: str) -> None:
        """And not the whole value; whoever gave it is told so, as of other bad input."""
        with pytest.raises(InvalidEventData) as caught:
            JsonCodec().encode(Noted(value={"a": [1, value]}))
        assert str(caught.value).startswith(told)
        assert isinstance(caught.value, EventSerializationFailed | InvalidInput)

    def test_a_type_that_the_codec_does_not_know_is_no_input(self) -> None:
        """Whoever wrote the class can mend it, and nobody else."""
        with pytest.raises(EventSerializationFailed) as caught:
            JsonCodec().encode(Turned(by=Angle(90)))
        assert not isinstance(caught.value, InvalidInput)

    def test_a_text_that_a_hook_has_made_is_refused_too(self) -> None:
        """By the name of the class alone, for nothing tells whence it is."""
        codec = JsonCodec(enc_hook=lambda angle: chr(angle.degrees))
        for degrees, told in ((0, "^Turned contains a NUL"), (0xD800, "^Turned cannot be stored")):
            with pytest.raises(InvalidEventData, match=told):
                codec.encode(Turned(by=Angle(degrees)))


class TestSerializer:
    def test_an_event_is_its_own_fields(self, serializer: Serializer[Any]) -> None:
        """No type, no schema version."""
        assert serializer.encode(Noted(value=1), "f-1") == '{"value":1}'

    def test_the_class_is_chosen_by_type_and_schema(self, serializer: Serializer[Any]) -> None:
        """A schema below the class's own is read by the same class."""
        rows = [
            (1, "Paid", 1, '{"amount": "1"}', "Fine"),
            (2, "Paid", 3, '{"amount": 2, "note": "x", "gone": 1}', "Fine"),
            (3, "note", 1, '{"value": null}', "Fine"),
        ]
        assert list(serializer.decode_stream("f-1", rows)) == [
            (1, Paid(amount=Decimal(1))),
            (2, Paid(amount=Decimal(2), note="x")),
            (3, Noted(value=None)),
        ]

    @pytest.mark.parametrize(
        ("row", "error", "message"),
        [
            ((7, "Gone", 1, "{}", "Fine"), EventSerializationFailed, "Fine does not know"),
            ((7, "Noted", 1, "{}", "Fine"), EventSerializationFailed, "Fine does not know"),
            ((7, "Paid", 4, "{}", "Fine"), EventSerializationFailed, "knows schema 3"),
            ((7, "Paid", 0, "{}", "Fine"), EventSerializationFailed, "schema 0"),
            ((7, "Paid", 1, "{}", "Fine"), EventSerializationFailed, "amount"),
            ((7, "Paid", 1, "nonsense", "Fine"), EventSerializationFailed, "cannot be decoded"),
            ((7, "Paid", 1, "[" * 100_000, "Fine"), EventSerializationFailed, "cannot be decoded"),
            ((7, "Paid", 1, "{}", "Car"), AggregateIDMismatch, "is a Car, not a Fine"),
        ],
    )
    def test_a_row_that_does_not_fit_is_an_error(
        self,
        serializer: Serializer[Any],
        row: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        """It names the aggregate; and type and version, where these are at fault."""
        with pytest.raises(error, match=message) as caught:
            list(serializer.decode_stream("f-1", [row]))
        assert "'f-1'" in str(caught.value)
        if error is EventSerializationFailed:
            assert f"{row[1]!r}" in str(caught.value)
            assert "version 7" in str(caught.value)
            assert caught.value.__cause__ is not None

    def test_good_rows_before_a_bad_one_are_given(self, serializer: Serializer[Any]) -> None:
        """Decoding is lazy."""
        rows = [(1, "note", 1, '{"value":1}', "Fine"), (2, "Gone", 1, "{}", "Fine")]
        events = serializer.decode_stream("f-1", rows)
        assert next(events) == (1, Noted(value=1))
        with pytest.raises(EventSerializationFailed):
            next(events)

    def test_a_stored_event_is_decoded_whole(self, serializer: Serializer[Any]) -> None:
        """With its place, its times and its metadata."""
        (found,) = serializer.recorded(
            stored('{"amount":"1"}', metadata='{"actor": "Ada", "ip": "::1"}')
        )
        assert found.event == Paid(amount=Decimal(1))
        assert (found.version, found.position, found.schema_version) == (4, 9, 1)
        assert found.metadata == Metadata(actor="Ada", extra={"ip": "::1"})
        assert found.occurred_at == datetime(2024, 1, 1, tzinfo=UTC)
        assert found.stored_at == datetime(2024, 1, 2, tzinfo=UTC)

    @pytest.mark.parametrize("text", [None, "{}"])
    def test_no_metadata_is_empty_metadata(
        self, serializer: Serializer[Any], text: str | None
    ) -> None:
        """However it is stored."""
        (found,) = serializer.recorded(stored('{"amount":"1"}', metadata=text))
        assert found.metadata == Metadata()

    def test_a_field_that_would_come_back_changed_is_refused(
        self, serializer: Serializer[Any]
    ) -> None:
        """The message names the field, and not its value."""
        event: Any = Noted(value=(1, "secret"))
        with pytest.raises(InvalidEventData, match="its field value would") as caught:
            serializer.encode(event, "f-1")
        assert "secret" not in str(caught.value)

    def test_a_field_that_could_not_be_read_is_refused(self, serializer: Serializer[Any]) -> None:
        """When it is saved, rather than when it is loaded."""
        paid: Any = Paid
        with pytest.raises(InvalidEventData, match="could not be read again"):
            serializer.encode(paid(amount="not a number"), "f-1")

    def test_an_event_class_that_cannot_be_decoded_is_refused_at_once(self) -> None:
        """When the repository is made; the error names the class, the field and the line."""

        class Impossible(Event):
            value: tuple[int, ...] | frozenset[int]

        class Bad(Aggregate[Impossible]):
            def apply(self, event: Impossible) -> None:
                pass

        with pytest.raises(
            TypeError, match=r"Impossible\.value \(.*test_codec\.py:\d+\) cannot be decoded"
        ):
            Serializer[Impossible](Bad.definition, JsonCodec())

    def test_another_codec_can_take_its_place(self) -> None:
        """It turns values into JSON text and back."""

        class Spaced:
            def encode(self, value: Any) -> str:
                return f" {msgspec.json.encode(value).decode()} "

            def decoder(self, type: Any) -> Callable[[str], Any]:
                return msgspec.json.Decoder(type).decode

        serializer = Serializer[Any](Fine.definition, Spaced())
        text = serializer.encode(Noted(value=1), "f-1")
        assert text == ' {"value":1} '
        assert list(serializer.decode_stream("f-1", [(1, "note", 1, text, "Fine")])) == [
            (1, Noted(value=1))
        ]
