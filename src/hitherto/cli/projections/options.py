"""What the commands on projections have in common: options, and names that are looked up."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from hitherto import ConfigurationError, Store
from hitherto.application.checkpoints import ProjectionStatus
from hitherto.domain.identifiers import check_identifier

Batch: TypeAlias = Annotated[int, Parameter(help="The most events that share a transaction.")]
Lease: TypeAlias = Annotated[
    float,
    Parameter(help="Seconds after which others take over from a worker that does not answer."),
]
Aggregates: TypeAlias = Annotated[
    Sequence[str],
    Parameter(
        negative="",
        show_default=False,
        help="An aggregate, as MODULE:NAME, or all those of a MODULE. Only a projection of every "
        "event needs them, which does not name its events. It may be given several times.",
    ),
]


async def known(store: Store, name: str) -> Sequence[ProjectionStatus]:
    """The generations of a projection: the active one, and one that is being filled.

    Raises:
        ConfigurationError: The store knows no such projection.
        InvalidInput: It could not be one's name.
    """
    check_identifier("the projection's name", name)
    found = await store.backend.checkpoints.status(name)
    if not found:
        names = sorted({each.name for each in await store.backend.checkpoints.status()})
        hint = f"it has {', '.join(names)}" if names else "none has run on it yet"
        raise ConfigurationError(f"the store has no projection {name!r}; {hint}")
    return found
