"""What two versions of the code have in common, which is what can be compared."""

from collections.abc import Collection, Sequence

import msgspec

from hitherto.cli.replay_diff.messages import Kinds
from hitherto.errors import ConfigurationError, InvalidInput


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of aggregate that both versions have.

    Attributes:
        aggregate_type: The stored name.
        fields: Those that are compared.
        only_in_old: Fields that only the old version has.
        only_in_new: Fields that only the new version has.
    """

    aggregate_type: str
    fields: tuple[str, ...]
    only_in_old: tuple[str, ...]
    only_in_new: tuple[str, ...]


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """All kinds.

    Attributes:
        kinds: Those that both versions have.
        only_in_old: Stored names that only the old version has.
        only_in_new: Stored names that only the new version has.
    """

    kinds: tuple[Match, ...]
    only_in_old: tuple[str, ...]
    only_in_new: tuple[str, ...]


def matched(old: Kinds, new: Kinds, *, ignored: Collection[str], strict: bool) -> Matches:
    """Put the kinds of two versions side by side.

    Args:
        old: What the old version has.
        new: What the new one has.
        ignored: Fields that are not compared.
        strict: Compare fields too that only one of them has.

    Raises:
        ConfigurationError: They have no kind in common, or no field of a kind.
        InvalidInput: A field that is to be ignored is in neither.
    """
    common = [name for name in old if name in new]
    if not common:
        raise ConfigurationError(
            f"the old version has {_listed(old)}, the new one {_listed(new)}, by their stored "
            "names: name two versions of one aggregate"
        )
    known = {field for name in common for field in (*old[name], *new[name])}
    unknown = sorted(set(ignored) - known)
    if unknown:
        raise InvalidInput(f"no field is named {unknown[0]!r}: they are {_listed(sorted(known))}")
    return Matches(
        kinds=tuple(_match(name, old[name], new[name], ignored, strict=strict) for name in common),
        only_in_old=_missing(old, new),
        only_in_new=_missing(new, old),
    )


def _match(
    name: str, old: Sequence[str], new: Sequence[str], ignored: Collection[str], *, strict: bool
) -> Match:
    both = dict.fromkeys((*old, *new))
    fields = [each for each in both if strict or (each in old and each in new)]
    if both and not fields:
        raise ConfigurationError(
            f"the two versions of {name!r} have no field in common: nothing can be compared "
            "(--strict tells every field as a difference)"
        )
    return Match(
        aggregate_type=name,
        fields=tuple(each for each in fields if each not in ignored),
        only_in_old=_missing(old, [*new, *ignored]),
        only_in_new=_missing(new, [*old, *ignored]),
    )


def _missing(names: Collection[str], others: Collection[str]) -> tuple[str, ...]:
    return tuple(each for each in names if each not in others)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"
