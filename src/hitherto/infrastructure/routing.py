"""`routed`: where a message goes, from a template."""

from collections.abc import Callable

from hitherto.application.relay import Message
from hitherto.errors import InvalidInput

Route = Callable[[Message], str]
"""Tells the subject, or the stream, that a message goes to."""


def routed(template: str, clean: Callable[[str], str] = str) -> Route:
    """What fills in a template for each message.

    Args:
        template: Text with `{aggregate_type}`, `{aggregate_id}` and `{event_type}`, or without.
        clean: Makes a value fit to stand there.

    Raises:
        InvalidInput: It has something else in braces, or is empty.
    """

    def fill(aggregate_type: str, aggregate_id: str, event_type: str) -> str:
        return template.format(
            aggregate_type=clean(aggregate_type),
            aggregate_id=clean(aggregate_id),
            event_type=clean(event_type),
        )

    try:
        sound = bool(fill("a", "b", "c"))
    except (LookupError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise InvalidInput(
            f"{template!r}: give text with no other placeholders than {{aggregate_type}}, "
            "{aggregate_id} and {event_type}"
        )
    return lambda message: fill(message.aggregate_type, message.aggregate_id, message.event_type)
