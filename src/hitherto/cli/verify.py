"""`hitherto verify`: whether a store is sound."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto import ConfigurationError, InvalidInput
from hitherto.application.chain.signed import SignedCheckpoint, opened
from hitherto.application.verifying import Verification
from hitherto.application.verifying import verify as verify_store
from hitherto.cli.connecting import connect
from hitherto.cli.loading import Kind, load_all
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say, show_findings
from hitherto.cli.progress import bars
from hitherto.connect import Settings
from hitherto.infrastructure.urls import without_password

_UNKNOWN = {"aggregate-type-unknown", "event-type-unknown"}


def verify(
    url: Url = None,
    *,
    aggregates: Annotated[Sequence[str], Parameter(negative="", show_default=False)] = (),
    schema: Schema = "public",
    sample: int | None = None,
    checkpoint: Annotated[Path | None, Parameter(show_default=False)] = None,
    public_key: Annotated[Path | None, Parameter(show_default=False)] = None,
    as_json: AsJson = False,
) -> int:
    """Look whether all that a store holds is as it should be; change nothing.

    The database looks for gaps, repetitions and missing guards; hash chains, if events have them,
    are computed again. Where the aggregates are named, every event is decoded too, and snapshots
    are compared with the fold of their events:

        hitherto verify sqlite:///shop.db --aggregates shop.orders

    With what `hitherto seal` has made, it tells whether the events up to there are still the same:

        hitherto verify sqlite:///shop.db --checkpoint 2025-03-01.json --public-key seal.key.pub

    The exit status is 0 if all is well, and 1 if something is wrong.

    Parameters
    ----------
    aggregates:
        An aggregate, as MODULE:NAME, or all those of a MODULE. It may be given several times.
    sample:
        How many snapshots of each kind to compare, drawn at random; by default all.
    checkpoint:
        The file with a signed checkpoint.
    public_key:
        The file with the public key of who signed it.
    """
    sealed = _opened(checkpoint, public_key)
    kinds = load_all(aggregates)
    where = without_password(Settings.from_environment(url=url).url)
    result = asyncio.run(_verify(url, schema, kinds, sample, sealed))
    if as_json:
        told = {"sealed_position": sealed and sealed.position}
        print_json(
            {"store": where, "sound": result.sound, **told, **msgspec.structs.asdict(result)}
        )
    else:
        _tell(Console(highlight=False), where, result, sealed)
    return 0 if result.sound else 1


def _opened(path: Path | None, key: Path | None) -> SignedCheckpoint | None:
    if (path is None) != (key is None):
        raise ConfigurationError("--checkpoint FILE and --public-key FILE are given together")
    if path is None or key is None:
        return None
    from hitherto.infrastructure.ed25519 import read_public_key  # noqa: PLC0415

    verifier = read_public_key(key)
    try:
        return opened(path.read_bytes(), verifier)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


async def _verify(
    url: str | None,
    schema: str,
    kinds: Sequence[Kind],
    sample: int | None,
    sealed: SignedCheckpoint | None,
) -> Verification:
    async with connect(url, schema=schema, migrate=False) as store:
        with bars() as progress:
            return await verify_store(
                store, kinds, sample=sample, checkpoint=sealed, progress=progress
            )


def _tell(
    console: Console, where: str, result: Verification, sealed: SignedCheckpoint | None
) -> None:
    if result.sound:
        say(console, f"{where} is sound.", "green")
    elif {each.kind for each in result.findings} <= _UNKNOWN:
        say(console, f"{where} holds what the code that was given does not know.", "red")
    else:
        say(console, f"{where} is damaged.", "red")
    if not result.aggregate_types:
        checked = "structure and its hash chains were" if result.chained else "structure was"
        say(console, f"Only its {checked} checked: name its aggregates, with --aggregates.")
    elif result.unread:
        say(console, "Its events and snapshots were not read: first mend what cannot be read.")
    else:
        say(console, f"Events read: {result.events:,}")
        say(console, f"Snapshots compared with them: {result.snapshots:,}")
        say(console, f"Snapshots of other code, left out: {result.foreign:,}")
    if result.chained:
        say(console, f"Events in hash chains: {result.chained:,}")
        say(console, f"Events stored since without a hash: {result.unchained:,}")
    if result.erasures:
        say(console, f"Payloads replaced, see `hitherto erasures`: {result.erasures:,}", "yellow")
    if sealed is not None and not result.unread:
        say(console, f"Compared with what was sealed up to position {sealed.position:,}")
    show_findings(console, result.findings, remedies=True)
