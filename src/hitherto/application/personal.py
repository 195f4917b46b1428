"""How personal fields are written: in an envelope, which is sealed before it is stored."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hitherto.domain.personal import REDACTED
from hitherto.errors import EventSerializationFailed, InvalidEventData

MARK = "hitherto.personal"
"""The key by which an envelope is known; no other value of an event may be an object with it."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENVELOPE = re.compile(rb'\s*\{\s*"hitherto\.personal"\s*:')
_encode = msgspec.json.Encoder().encode


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """A personal value.

    Attributes:
        subject: Whom it is about.
        value: It, as JSON, until it is sealed.
        key: The number of the subject's key under which it is sealed.
        sealed: The nonce and the encrypted value.
    """

    subject: str
    value: msgspec.Raw = msgspec.Raw()
    key: int = 0
    sealed: bytes = b""


class _Field(msgspec.Struct, rename={"envelope": MARK}):
    envelope: Envelope


_FIELD = msgspec.json.Decoder(_Field, strict=True)


def enclosed(text: str, names: Iterable[str], subject: str) -> str:
    """An event's fields, those of these names in envelopes.

    Raises:
        InvalidEventData: Another one looks like an envelope.
    """
    fields = _FIELDS.decode(text)
    check_no_envelope(fields)
    for name in names:
        if name in fields:
            fields[name] = _field(Envelope(subject, value=fields[name]))
    return _encode(fields).decode()


def check_no_envelope(fields: dict[str, msgspec.Raw] | str) -> None:
    """Refuse fields of which one looks like an envelope, or will once PostgreSQL sorts its keys.

    Raises:
        InvalidEventData: One does.
    """
    if isinstance(fields, str):
        fields = _FIELDS.decode(fields)
    for name, raw in fields.items():
        text = bytes(raw).strip()
        if MARK.encode() in text and text[:1] == b"{" and MARK in _FIELDS.decode(text):
            raise InvalidEventData(
                f"the field {name!r} has the key {MARK!r}, which hitherto keeps for itself: give "
                "it another one"
            )


def envelopes(text: str) -> dict[str, Envelope]:
    """The envelopes among an event's fields, by name."""
    if MARK not in text:
        return {}
    try:
        fields = _FIELDS.decode(text)
    except msgspec.DecodeError:
        return {}  # Whoever decodes it tells that.
    return {name: _opened(raw) for name, raw in fields.items() if _ENVELOPE.match(raw)}


def replaced(text: str, change: Callable[[str, Envelope], Envelope | msgspec.Raw]) -> str:
    """An event's fields, each envelope changed, or its value in its place; it is told the name."""
    found = envelopes(text)
    if not found:
        return text
    fields = _FIELDS.decode(text)
    for name, envelope in found.items():
        changed = change(name, envelope)
        fields[name] = _field(changed) if isinstance(changed, Envelope) else changed
    return _encode(fields).decode()


def redacted() -> msgspec.Raw:
    """What stands for a value whose key is gone."""
    return msgspec.Raw(_encode(REDACTED))


def _field(envelope: Envelope) -> msgspec.Raw:
    return msgspec.Raw(_encode({MARK: envelope}))


def _opened(raw: Any) -> Envelope:
    try:
        return _FIELD.decode(raw).envelope
    except msgspec.DecodeError as error:
        raise EventSerializationFailed(f"a sealed value cannot be read: {error}") from error
