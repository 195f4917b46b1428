"""What is asked of the surroundings: the time, ids, and a way to write values as text."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

Clock = Callable[[], datetime]
"""Tells the time, with a time zone."""

IdFactory = Callable[[], UUID]
"""Makes event ids: unique, and best in rising order (UUIDv7)."""


class Codec(Protocol):
    """Turns values into JSON text and back."""

    def encode(self, value: Any) -> str:
        """`value` as JSON text.

        Raises:
            InvalidEventData: It cannot be stored and restored unchanged. A client may be told so.
            EventSerializationFailed: It holds a value of a type that the codec does not know.
        """
        ...

    def decoder(self, type: Any) -> Callable[[str], Any]:
        """A function that makes a `type` of JSON text; it raises ValueError on other text."""
        ...
