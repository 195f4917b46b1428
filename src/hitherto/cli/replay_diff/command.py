"""`hitherto replay-diff`: whether two versions of the code fold what is stored alike."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote

from cyclopts import Parameter

from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.replay_diff.revisions import laid_out
from hitherto.cli.replay_diff.running import Options, run
from hitherto.cli.replay_diff.telling import print_report, tell
from hitherto.connect import Settings
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import ConfigurationError, InvalidInput


def replay_diff(
    old: str,
    new: str,
    /,
    *,
    url: Url = None,
    ids: Annotated[Sequence[str], Parameter(name="--id", negative="", show_default=False)] = (),
    sample: int | None = None,
    ignore_fields: Annotated[
        Sequence[str], Parameter(name="--ignore-field", negative="", show_default=False)
    ] = (),
    strict: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    show: int = 10,
    jobs: int | None = None,
    timeout: float = 60.0,
    schema: Schema = "public",
    as_json: AsJson = False,
) -> int:
    """Fold every aggregate with two versions of the code, and tell which states differ.

    A version is a MODULE:NAME, or a MODULE for all its aggregates; @REVISION after it takes the
    module from a revision of the git repository here, and not from the files as they are:

        hitherto replay-diff shop.orders:Order@main shop.orders:Order --url sqlite:///shop.db

    It tells since which event an aggregate differs, and in which fields. Nothing is changed, and
    snapshots are not read. The exit status is 0 if all are equal, and 1 if some differ, or if there
    was nothing to compare.

    Parameters
    ----------
    old:
        The old version.
    new:
        The new version.
    ids:
        One aggregate's id. It may be given several times; by default all.
    sample:
        How many aggregates of each kind to compare, drawn at random; by default all.
    ignore_fields:
        A field that is not compared. It may be given several times.
    strict:
        What only one of the versions has is a difference, too: a field, or a kind of aggregate.
    show:
        How many of the aggregates that differ are told of in full.
    jobs:
        How many processes fold, but two at least; by default as many as there are processors.
    timeout:
        Seconds without a sign of life after which a process is given up.
    """
    options = Options(
        url=_seen_from_anywhere(Settings.from_environment(url=url).url),
        schema=schema,
        ids=[check_identifier("aggregate id", each) for each in ids],
        sample=sample,
        ignored=ignore_fields,
        strict=strict,
        show=show,
        pairs=max(1, (os.cpu_count() or 1 if jobs is None else jobs) // 2),
        timeout=timeout,
    )
    if ids and sample is not None:
        raise InvalidInput("give --id or --sample, not both")
    _check(sample=(sample, 1), show=(show, 0), jobs=(jobs, 1), timeout=(timeout, 1))
    with laid_out([old, new]) as codes:
        report = asyncio.run(run(codes, options))
    if as_json:
        print_report(old, new, options, report)
    else:
        tell(report)
    return 0 if report.equal else 1


def _check(**given: tuple[float | None, int]) -> None:
    for name, (value, least) in given.items():
        if value is not None and not value >= least:
            raise InvalidInput(f"--{name} {value}: give at least {least}")


def _seen_from_anywhere(url: str) -> str:
    """The URL, as a process in another folder needs it."""
    if url == "memory:":
        raise ConfigurationError("memory: holds nothing that was stored: name another store")
    path = url.removeprefix("sqlite:///")
    return url if path == url else f"sqlite:///{quote(str(Path(unquote(path)).absolute()))}"
