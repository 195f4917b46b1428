"""Signed checkpoints: what the log came to at a position, told by somebody who has the key.

The root is the SHA-256 over a line of JSON, `[id,version,event_hash]`, for the last event of each
aggregate up to the position, in the order of the ids' bytes; the hash is hexadecimal, or null.
"""

from datetime import datetime
from hashlib import sha256
from typing import Protocol

import msgspec

from hitherto.application.findings import Tally
from hitherto.application.ports import Backend, Chain
from hitherto.application.records import utc
from hitherto.application.refolding import Progress, in_silence
from hitherto.application.selection import PAGE
from hitherto.errors import InvalidInput

FORMAT, VERSION = "hitherto-checkpoint", 1

_encode = msgspec.json.encode


class Signer(Protocol):
    """A private key."""

    @property
    def fingerprint(self) -> str:
        """Of its public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        ...


class Verifier(Protocol):
    """A public key."""

    @property
    def fingerprint(self) -> str:
        """Tells it from others."""
        ...

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is that of the message, by the private key."""
        ...


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a log came to.

    Attributes:
        format: What it is.
        version: Of the format.
        position: Up to which all events are covered.
        events: How many those are: the versions of all aggregates, added up.
        aggregates: How many aggregates they belong to.
        root: The hash over the heads of all, hexadecimal.
        sealed_at: When, ISO 8601.
        key: The fingerprint of the key.
        signature: Over the compact JSON of all fields above, in this order; hexadecimal.
    """

    format: str = FORMAT
    version: int = VERSION
    position: int
    events: int
    aggregates: int
    root: str
    sealed_at: str
    key: str
    signature: str | msgspec.UnsetType = msgspec.UNSET

    def message(self) -> bytes:
        """What is signed."""
        return _encode(msgspec.structs.replace(self, signature=msgspec.UNSET))


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of all aggregates as of a position, taken together.

    Attributes:
        events: The versions, added up.
        aggregates: How many there are.
        unchained: How many of them end with an event without a hash.
        root: See `SignedCheckpoint`.
    """

    events: int
    aggregates: int
    unchained: int
    root: str


async def seal(
    backend: Backend, signer: Signer, *, now: datetime, progress: Progress = in_silence
) -> tuple[SignedCheckpoint, Heads]:
    """Sign what the log comes to now, up to its watermark.

    It does not look whether the chains are whole: that is what `verify` does.

    Args:
        backend: The store's.
        signer: The key.
        now: The time that is told, with a time zone.
        progress: Told how many aggregates were read.

    Raises:
        InvalidInput: There are events, but none has a hash.
        EventStoreUnavailable: The store cannot be reached.
    """
    position = await backend.watermark()
    heads = await _heads(backend.chain, position, progress)
    if heads.aggregates and await backend.chain.first() is None:
        raise InvalidInput(
            "no event has a hash, so a signature would say nothing of them: let them be appended "
            "with hash_chain=True"
        )
    checkpoint = SignedCheckpoint(
        position=position,
        events=heads.events,
        aggregates=heads.aggregates,
        root=heads.root,
        sealed_at=utc(now).isoformat(timespec="seconds"),
        key=signer.fingerprint,
    )
    signature = signer.sign(checkpoint.message()).hex()
    return msgspec.structs.replace(checkpoint, signature=signature), heads


def opened(text: bytes, verifier: Verifier) -> SignedCheckpoint:
    """The checkpoint in a file, if it is as it was signed.

    Raises:
        InvalidInput: It is none, or was changed, or another key has signed it.
    """
    try:
        checkpoint = msgspec.json.decode(text, type=SignedCheckpoint, strict=True)
        signature = bytes.fromhex(checkpoint.signature or "")
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise InvalidInput(f"it is no checkpoint that `hitherto seal` has made: {error}") from error
    if (checkpoint.format, checkpoint.version) != (FORMAT, VERSION):
        raise InvalidInput(
            f"it is of the format {checkpoint.format!r}, version {checkpoint.version}, not "
            f"{FORMAT!r}, version {VERSION}"
        )
    if checkpoint.key != verifier.fingerprint:
        raise InvalidInput(
            f"the key {checkpoint.key} has signed it, not {verifier.fingerprint}: give the public "
            "key of the one that has"
        )
    if not verifier.verifies(signature, checkpoint.message()):
        raise InvalidInput("its signature is wrong: it was changed after it was signed")
    return checkpoint


async def compare(
    chain: Chain, checkpoint: SignedCheckpoint, tally: Tally, progress: Progress
) -> None:
    """See whether a store still holds what was sealed; `tally` is told what is wrong."""
    heads = await _heads(chain, checkpoint.position, progress)
    if heads.events < checkpoint.events:
        tally.add(
            "events-missing",
            position=checkpoint.position,
            detail=f"{checkpoint.events - heads.events:,} of the {checkpoint.events:,} events that "
            f"were sealed on {checkpoint.sealed_at}, up to position {checkpoint.position:,}, are "
            "gone",
        )
    elif heads.root != checkpoint.root:
        tally.add(
            "checkpoint-mismatch",
            position=checkpoint.position,
            detail=f"the events up to position {checkpoint.position:,} are not those that were "
            f"sealed on {checkpoint.sealed_at}",
        )


async def _heads(chain: Chain, until: int, progress: Progress) -> Heads:
    root = sha256()
    after = ""
    events = aggregates = unchained = 0
    while page := await chain.heads(after=after, until=until, limit=PAGE):
        for head in page:
            told = None if head.event_hash is None else head.event_hash.hex()
            root.update(_encode([head.aggregate_id, head.version, told]) + b"\n")
            events += head.version
            unchained += told is None
        aggregates += len(page)
        after = page[-1].aggregate_id
        progress("heads", aggregates, None)
    return Heads(events=events, aggregates=aggregates, unchained=unchained, root=root.hexdigest())
