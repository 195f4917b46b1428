"""Personal fields encrypted and decrypted, by the keys of their subjects."""

import os
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec

from hitherto.application.personal import Envelope, redacted, replaced
from hitherto.application.ports.personal import SubjectKey
from hitherto.application.records import NewEvent, StoredEvent
from hitherto.errors import ConfigurationError, EventSerializationFailed

N = TypeVar("N", bound=NewEvent)

_NONCE = 12  # bytes


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes: ...


Ciphers = Mapping[tuple[str, int], _Cipher | None]
"""By subject and number of the key; None: that was destroyed."""


def sealed_event(event: N, ciphers: Ciphers) -> N:
    """An event whose open envelopes are sealed, each under a key of its subject."""
    numbers = {subject: number for subject, number in ciphers if ciphers[subject, number]}

    def seal(name: str, envelope: Envelope) -> Envelope:
        if envelope.sealed:
            return envelope
        number = numbers[envelope.subject]
        cipher = ciphers[envelope.subject, number]
        assert cipher is not None  # noqa: S101  # it was made a moment ago
        nonce = os.urandom(_NONCE)
        bound = _bound(name, envelope.subject, number)
        sealed = nonce + cipher.encrypt(nonce, bytes(envelope.value), bound)
        return Envelope(envelope.subject, key=number, sealed=sealed)

    return msgspec.structs.replace(event, data=replaced(event.data, seal))


def opened_event(event: StoredEvent, ciphers: Ciphers) -> StoredEvent:
    """An event whose personal fields are open, or redacted where the key is gone."""
    try:
        return msgspec.structs.replace(event, data=open_text(event.data, ciphers))
    except EventSerializationFailed as error:
        raise EventSerializationFailed(
            f"version {event.version} of {event.aggregate_id!r}: {error}"
        ) from error


def open_text(text: str, ciphers: Ciphers) -> str:
    """The same of an event's fields.

    Raises:
        EventSerializationFailed: A value is not as it was sealed.
    """

    def open_one(name: str, envelope: Envelope) -> msgspec.Raw:
        if not envelope.sealed:  # Stored by hand: it was never encrypted.
            return envelope.value
        cipher = ciphers[envelope.subject, envelope.key]
        if cipher is None:
            return redacted()
        nonce, sealed = envelope.sealed[:_NONCE], envelope.sealed[_NONCE:]
        bound = _bound(name, envelope.subject, envelope.key)
        try:
            return msgspec.Raw(cipher.decrypt(nonce, sealed, bound))
        except Exception as error:
            raise EventSerializationFailed(
                f"a value about {envelope.subject!r} cannot be decrypted: it, or key "
                f"{envelope.key}, was changed"
            ) from error

    return replaced(text, open_one)


def ciphers_of(keys: Iterable[SubjectKey]) -> Ciphers:
    """What to seal and to open with.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    return {(each.subject, each.number): _cipher(each.key) for each in keys}


def _cipher(key: bytes | None) -> _Cipher | None:
    if key is None:
        return None
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "Personal fields need cryptography: pip install 'hitherto[crypto]'"
        ) from error
    return AESGCMSIV(key)


def _bound(field: str, subject: str, number: int) -> bytes:
    """What a sealed value is bound to, so that it cannot be passed off as another one."""
    return f"{field}\0{subject}\0{number}".encode()
