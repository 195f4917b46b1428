"""What `replay-diff` and the processes that fold for it say to each other.

Each message is a frame: its length, and that many bytes. A request is JSON; an answer is one of
`ANSWER` and JSON, `REFUSAL` and text, or `ALIVE` alone, which means: go on waiting.
"""

from typing import Any, TypeAlias

import msgspec

from hitherto.cli.replay_diff.revisions import Code

ANSWER, REFUSAL, ALIVE = b"+", b"-", b"."
HEAD = 8  # bytes that tell the length


class Import(msgspec.Struct, frozen=True, tag=True):
    """Import this version of the code; answered by `Kinds`. It comes first."""

    code: Code


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open the store; of each kind by its stored name, compare these fields."""

    url: str
    schema: str
    fields: dict[str, list[str]]


class Outcomes(msgspec.Struct, frozen=True, tag=True):
    """See `Folding.outcomes`."""

    aggregate_type: str
    ids: list[str]


class Traces(msgspec.Struct, frozen=True, tag=True):
    """See `Folding.traces`."""

    aggregate_type: str
    ids: list[str]


class Moments(msgspec.Struct, frozen=True, tag=True):
    """See `Folding.moments`."""

    aggregate_type: str
    places: list[tuple[str, int]]


Request: TypeAlias = Import | Open | Outcomes | Traces | Moments

Kinds: TypeAlias = dict[str, list[str]]
"""The fields of each kind of aggregate that a version of the code has, by its stored name."""


def framed(status: bytes, value: Any = msgspec.UNSET) -> bytes:
    """A message as it is sent."""
    body = status + (b"" if value is msgspec.UNSET else msgspec.json.encode(value))
    return len(body).to_bytes(HEAD, "big") + body
