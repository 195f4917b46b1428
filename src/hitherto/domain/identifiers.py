"""What may be an id or a stored type name."""

from hitherto.errors import AggregateIDMismatch, InvalidInput

MAX_LENGTH = 255


def check_identifier(what: str, value: object) -> str:
    """Return `value` if it can be stored as an id or a type name.

    Args:
        what: What the value is, for the message: "aggregate id", "event type".
        value: The candidate.

    Raises:
        InvalidInput: Not a string, empty, over 255 characters, or with a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a str, not {type(value).__name__}: {value!r}")
    if not value:
        raise InvalidInput(f"{what} is empty: give it at least one character")
    if len(value) > MAX_LENGTH:
        raise InvalidInput(
            f"{what} has {len(value)} characters, at most {MAX_LENGTH} are allowed: {value[:40]!r}…"
        )
    if "\0" in value:
        raise InvalidInput(f"{what} contains a NUL character, which cannot be stored: {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} contains a lone surrogate, not valid text: {value!r}") from None
    return value


def type_mismatch(aggregate_id: str, stored_type: str, own_type: str) -> AggregateIDMismatch:
    """The error for an id that is stored under another type than the one asked for."""
    return AggregateIDMismatch(
        f"{aggregate_id!r} is a {stored_type}, not a {own_type}: "
        "an id belongs to one type of aggregate"
    )
