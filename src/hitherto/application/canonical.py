"""Canonical JSON: one text for a value, whatever store it has been in."""

import json
from decimal import Decimal, InvalidOperation

import msgspec

from hitherto.application.records import NewEvent, StoredEvent
from hitherto.errors import EventSerializationFailed

_LARGEST, _SMALLEST = 131_071, -16_383  # powers of ten; PostgreSQL keeps no number beyond


def canonical(text: str) -> msgspec.Raw:
    """A JSON text with its keys sorted, without spaces, and with every digit of its numbers.

    Numbers are written as PostgreSQL gives them back, which drops exponents and the sign of zero,
    but no trailing zero: 1.50 stays, 1e3 becomes 1000. Of a key that is there twice the last value
    counts.

    Raises:
        ValueError: The text is no JSON, or holds a lone surrogate.
        RecursionError: It is nested too deep.
    """
    try:
        value = _decode(text)
    except msgspec.ValidationError:  # an integer of thousands of digits
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_number)
    return msgspec.Raw(_encode(value))


def canonical_content(
    event: NewEvent | StoredEvent, aggregate_id: str, version: int
) -> tuple[msgspec.Raw, msgspec.Raw]:
    """The data and the metadata of an event; null where it has no metadata.

    Raises:
        EventSerializationFailed: They are no JSON.
    """
    try:
        return canonical(event.data), canonical(event.metadata or "null")
    except (ValueError, RecursionError) as error:
        raise EventSerializationFailed(
            f"the data or metadata of version {version} of {aggregate_id!r} are no JSON: {error} "
            "(`hitherto verify` finds all of a store that are none)"
        ) from error


def _number(text: str) -> msgspec.Raw:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is None or _out_of_range(number):  # as it is, for no store has rewritten it
        return msgspec.Raw(text.encode())
    return msgspec.Raw(format(number or number.copy_abs(), "f").encode())


def _out_of_range(number: Decimal) -> bool:
    if not number.is_finite():
        raise ValueError(f"{number} is no number of JSON's")
    _, _, exponent = number.as_tuple()
    return (bool(number) and number.adjusted() > _LARGEST) or int(exponent) < _SMALLEST


_decode = msgspec.json.Decoder(float_hook=_number).decode
_encode = msgspec.json.Encoder(order="sorted").encode
