"""`hitherto seal`: a signed checkpoint of the log's head."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from hitherto import ConfigurationError
from hitherto.application.chain.signed import Heads, SignedCheckpoint, Signer
from hitherto.application.chain.signed import seal as seal_store
from hitherto.application.store import utc_now
from hitherto.cli.connecting import connect
from hitherto.cli.options import Schema, Url
from hitherto.cli.printing import print_json, say
from hitherto.cli.progress import bars

_File = Annotated[Path | None, Parameter(show_default=False)]


def seal(
    url: Url = None,
    *,
    key: _File = None,
    make_key: _File = None,
    schema: Schema = "public",
) -> None:
    """Sign what the log has come to: a checkpoint to keep where the store's writers cannot reach.

    `hitherto verify --checkpoint` tells later whether all events up to there are still the same.
    Without a URL and a key, make a pair of keys first:

        hitherto seal --make-key seal.key

        hitherto seal postgresql://localhost/shop --key seal.key > 2025-03-01.json

    The events must be in hash chains, see the setting hash_chain.

    Parameters
    ----------
    key:
        The file with the private key, Ed25519 as PEM.
    make_key:
        Make a pair of keys: the private one in this file, the public one in FILE.pub.
    """
    if (key is None) == (make_key is None):
        raise ConfigurationError("give --key FILE to sign with, or --make-key FILE to make one")
    if make_key is not None:
        if url is not None:
            raise ConfigurationError("--make-key needs no store: leave the URL out")
        _make(make_key)
    elif key is not None:
        from hitherto.infrastructure.ed25519 import read_key  # noqa: PLC0415

        checkpoint, heads = asyncio.run(_seal(url, schema, read_key(key)))
        print_json(checkpoint)
        if heads.unchained:
            say(
                Console(stderr=True, highlight=False),
                f"{heads.unchained:,} of {heads.aggregates:,} aggregates end with an event without "
                "a hash: of these, only their number of events is sealed.",
            )


def _make(path: Path) -> None:
    from hitherto.infrastructure.ed25519 import make_key  # noqa: PLC0415

    public, fingerprint = make_key(path)
    console = Console(highlight=False)
    say(console, f"The private key is in {path}: whoever has it can sign.", "green")
    say(console, f"The public key is in {public}: whoever verifies needs it.", "green")
    say(console, f"Its fingerprint: {fingerprint}")


async def _seal(url: str | None, schema: str, key: Signer) -> tuple[SignedCheckpoint, Heads]:
    async with connect(url, schema=schema, migrate=False) as store:
        with bars() as progress:
            return await seal_store(store.backend, key, now=utc_now(), progress=progress)
