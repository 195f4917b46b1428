"""`Metadata`: what is known about an event besides the fact itself."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from hitherto.errors import InvalidInput

MetadataValue = str | int | float | bool | None


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Why and by whom an event was recorded.

    Attributes:
        correlation_id: Names the whole conversation, such as one web request.
        causation_id: The id of the message or event that led to this one.
        actor: Who did it.
        extra: Further keys of your own, with plain values.

    Raises:
        InvalidInput: `extra` has a key that is one of the names above, or a value is of a type
            that would not come back as it is.
    """

    correlation_id: str | None = None
    causation_id: str | None = None
    actor: str | None = None
    extra: Mapping[str, MetadataValue] = {}

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidInput(f"metadata {name} is of type {_text_is_needed(value)}")
        extra: Mapping[Any, Any] = self.extra
        for key, value in extra.items():
            if key in _NAMES:
                raise InvalidInput(f"metadata extra has {key!r}: pass it as its own argument")
            if not isinstance(key, str):
                raise InvalidInput(f"metadata extra key {key!r} is of type {_text_is_needed(key)}")
            if not isinstance(value, _PLAIN):
                raise InvalidInput(f"metadata extra {key!r} is of type {_text_is_needed(value)}")

    def over(self, base: "Metadata") -> "Metadata":
        """This metadata, with what it leaves open taken from `base`."""
        own = {name: getattr(self, name) for name in _NAMES}
        named = {
            name: getattr(base, name) if value is None else value for name, value in own.items()
        }
        return Metadata(**named, extra={**base.extra, **self.extra})

    def flat(self) -> dict[str, MetadataValue]:
        """One flat mapping, as it is stored; what is None is left out."""
        named = {name: getattr(self, name) for name in _NAMES}
        return {**{name: value for name, value in named.items() if value is not None}, **self.extra}

    @classmethod
    def from_flat(cls, stored: Mapping[str, Any]) -> "Metadata":
        """The inverse of `flat`; what another tool has stored is taken as it is."""
        metadata = cls()
        for name in _NAMES:
            msgspec.structs.force_setattr(metadata, name, stored.get(name))
        extra = {name: value for name, value in stored.items() if name not in _NAMES}
        msgspec.structs.force_setattr(metadata, "extra", extra)
        return metadata


def _text_is_needed(value: object) -> str:
    return f"{type(value).__name__}, and would come back as another: give text, as by str(…)"


_NAMES = ("correlation_id", "causation_id", "actor")
_PLAIN = (str, int, float, type(None))
_EMPTY = Metadata()
_current: ContextVar[Metadata] = ContextVar("hitherto_metadata", default=_EMPTY)


def current_metadata() -> Metadata:
    """The metadata that saves inherit here: that of the enclosing `metadata_context` blocks."""
    return _current.get()


@contextmanager
def metadata_context(
    *,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    actor: str | None = None,
    **extra: MetadataValue,
) -> Generator[Metadata]:
    """Every save inside the block inherits this metadata; blocks nest, and tasks inherit it.

    A web application sets it once a request::

        with metadata_context(correlation_id=request_id, actor=user.name):
            await users.save(user)
    """
    given = Metadata(
        correlation_id=correlation_id, causation_id=causation_id, actor=actor, extra=extra
    )
    token = _current.set(given.over(_current.get()))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
