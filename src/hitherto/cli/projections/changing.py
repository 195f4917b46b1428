"""`hitherto projections pause`, `resume` and `reset`."""

import asyncio
from typing import Any

from rich.console import Console

from hitherto import ConfigurationError
from hitherto.application.fitting import check_fits
from hitherto.application.projection import Projection
from hitherto.application.rebuild import drop_and_set_up
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_projection
from hitherto.cli.options import Schema, Url, Yes
from hitherto.cli.printing import say
from hitherto.cli.projections.options import known


def pause(name: str, /, *, url: Url = None, schema: Schema = "public") -> None:
    """Let nobody work on a projection, until it is resumed.

    Its workers finish what they are at, within seconds, and then wait; a rebuild of it, too:

        hitherto projections pause Balances --url postgresql://localhost/shop

    Parameters
    ----------
    name:
        The projection's stored name.
    """
    asyncio.run(_pause(name, url, schema, paused=True))
    say(Console(highlight=False), f"{name} is paused.")


def resume(name: str, /, *, url: Url = None, schema: Schema = "public") -> None:
    """Let its workers go on with a projection that was paused.

        hitherto projections resume Balances --url postgresql://localhost/shop

    Parameters
    ----------
    name:
        The projection's stored name.
    """
    asyncio.run(_pause(name, url, schema, paused=False))
    say(Console(highlight=False), f"{name} goes on.")


async def _pause(name: str, url: str | None, schema: str, *, paused: bool) -> None:
    async with connect(url, schema=schema, migrate=False) as store:
        await known(store, name)
        await store.backend.checkpoints.pause(name, paused=paused)


def reset(
    projection: str, /, *, url: Url = None, schema: Schema = "public", yes: Yes = False
) -> None:
    """Empty a view, and let its workers fill it again from the first event on.

    Who reads it sees it empty, and then grow; side effects are done again. Mostly a rebuild is
    better, which has neither. What a reset is for is a view that is wrong and must not be read:

        hitherto projections reset shop.views:Balances --url sqlite:///shop.db --yes

    Parameters
    ----------
    projection:
        The projection, as MODULE:NAME: a class that needs no arguments, or an instance.
    """
    chosen = load_projection(projection)
    if not yes:
        raise ConfigurationError(
            f"a reset empties {chosen.name!r}, and does its side effects again: say --yes if that "
            "is meant, or use hitherto projections rebuild"
        )
    asyncio.run(_reset(chosen, url, schema))
    say(Console(highlight=False), f"{chosen.name} begins anew.")


async def _reset(projection: Projection[Any], url: str | None, schema: str) -> None:
    store = connect(url, schema=schema, migrate=False)
    checkpoints = store.backend.checkpoints
    check_fits(projection, checkpoints.lends)
    async with store:
        for each in await known(store, projection.name):
            if each.state == "active" and each.version != projection.version:
                raise ConfigurationError(
                    f"{projection.name!r} is of version {each.version}, but this code has "
                    f"{projection.version}: rebuild it"
                )
        await checkpoints.reset(projection.name, setup=drop_and_set_up(projection, checkpoints))
