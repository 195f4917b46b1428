"""What backends have in common about projections: which generation is whose, and refusals."""

from hitherto.application.alongside import Timer
from hitherto.application.checkpoints import Generation
from hitherto.errors import AlreadyHandled, LeaseLost, ProjectionSuperseded


def generation_for(
    version: int, active: Generation | None, filling: Generation | None, *, rebuild: bool
) -> Generation | None:
    """The generation that is there for code of this version; None: it is to be made.

    Raises:
        ProjectionSuperseded: One of a higher version is there.
    """
    if active is None or (active.version == version and not rebuild):
        return active
    if filling is not None and filling.version == version:
        return filling
    newest = active if filling is None or filling.version < active.version else filling
    if version < newest.version and not rebuild:
        raise superseded(version, newest)
    return None


def superseded(version: int, newest: Generation) -> ProjectionSuperseded:
    """The error for code of a lower version than what is there."""
    return ProjectionSuperseded(
        f"{newest.name!r} has version {version} in this code, but version {newest.version} is "
        f"{newest.state}: deploy the newer code, or go back to this one with `hitherto "
        "projections rebuild`"
    )


def not_inline(name: str, version: int) -> ProjectionSuperseded:
    """The error for an append that runs what is not, or no more, run by appends."""
    return ProjectionSuperseded(
        f"version {version} of {name!r} is not run by appends: another version has taken its "
        "place, or it was reset; nothing was written: deploy the code of that version, or open "
        "the store anew"
    )


def lease_lost(generation: Generation) -> LeaseLost:
    """The error for a write under an older token."""
    return LeaseLost(
        f"another worker has taken over {generation.name!r}, or its generation "
        f"{generation.number} is retired: nothing was written"
    )


def already_handled(scope: str, message_id: str) -> AlreadyHandled:
    """The error for a message that an append has handled before."""
    return AlreadyHandled(f"{scope!r} has handled the message {message_id!r} before")


def already_fired(timer: Timer) -> AlreadyHandled:
    """The error for a timer that has fired, or was set anew or cancelled, meanwhile."""
    return AlreadyHandled(
        f"the timer {timer.name!r} of {timer.aggregate_id!r} is no longer set to {timer.due}"
    )
