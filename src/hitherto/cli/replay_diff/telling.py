"""What came of a comparison, for people and for programs."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from rich.console import Console

from hitherto.application.comparing import Compared, Difference, FieldChange
from hitherto.cli.printing import plain, print_json, say
from hitherto.cli.replay_diff.matching import Match
from hitherto.cli.replay_diff.running import Options, Report
from hitherto.infrastructure.urls import without_password

_WIDTH = 60  # characters of a value that are shown
_TYPES = 5  # event types and fields that are counted in a line
_NOTHING: Any = msgspec.UNSET


def print_report(old: str, new: str, options: Options, report: Report) -> None:
    """All of it, as JSON."""
    matches = {each.aggregate_type: each for each in report.matches.kinds}
    results = [
        {
            **msgspec.structs.asdict(each),
            "compared_fields": matches[each.aggregate_type].fields,
            "fields_only_in_old": matches[each.aggregate_type].only_in_old,
            "fields_only_in_new": matches[each.aggregate_type].only_in_new,
        }
        for each in report.results
    ]
    print_json({
        "store": without_password(options.url),
        "old": old,
        "new": new,
        "equal": report.equal,
        "only_in_old": report.matches.only_in_old,
        "only_in_new": report.matches.only_in_new,
        "results": results,
    })  # fmt: skip


def tell(report: Report) -> None:
    """The numbers, then the first aggregates that differ."""
    console = Console(highlight=False)
    matches = {each.aggregate_type: each for each in report.matches.kinds}
    for each in report.results:
        _tell_numbers(console, each, matches[each.aggregate_type], strict=report.strict)
        for difference in each.differences:
            _tell_difference(console, difference)
        if 0 < len(each.differences) < each.differing:
            say(console, f"\n… and {each.differing - len(each.differences):,} more")
    _tell_only(console, "Only in the old version, not compared", report.matches.only_in_old)
    _tell_only(console, "Only in the new version, not compared", report.matches.only_in_new)
    if not report.compared:
        say(console, "Nothing could be compared.", "red")


def _tell_numbers(console: Console, found: Compared, match: Match, *, strict: bool) -> None:
    name, folded = plain(found.aggregate_type), found.aggregates - found.both_fail
    if found.differing:
        say(console, f"{name}: {found.differing:,} of {found.aggregates:,} differ", "red")
    elif folded:
        say(console, f"{name}: {folded:,} folded, none differs", "green")
    else:
        say(
            console,
            f"{name}: none {'could be folded' if found.aggregates else 'is stored'}",
            "yellow",
        )
    _tell_counts(console, "First differing event types", found.event_types)
    _tell_counts(console, "Fields", found.fields)
    for count, who in ((found.old_fails, "old"), (found.new_fails, "new")):
        if count:
            say(console, f"  The {who} version fails to fold: {count:,}")
    if found.both_fail:
        first = found.failures[0] if found.failures else None
        such_as = "" if first is None else f", such as {first.aggregate_id!r}: {plain(first.error)}"
        say(console, f"  Both fail to fold, alike: {found.both_fail:,}{such_as}", "yellow")
    if not match.fields:
        say(console, "  No field is compared, only whether it can be folded", "yellow")
    note = "" if strict else ", not compared"
    _tell_only(console, f"  Fields only in the old version{note}", match.only_in_old)
    _tell_only(console, f"  Fields only in the new version{note}", match.only_in_new)


def _tell_counts(console: Console, what: str, counts: Mapping[str, int]) -> None:
    if counts:
        told = [f"{plain(name)} {count:,}" for name, count in list(counts.items())[:_TYPES]]
        told += [f"and {len(counts) - _TYPES} more"] if len(counts) > _TYPES else []
        say(console, f"  {what}: {', '.join(told)}")


def _tell_only(console: Console, what: str, names: Sequence[str]) -> None:
    if names:
        say(console, f"{what}: {', '.join(map(plain, names))}")


def _tell_difference(console: Console, found: Difference) -> None:
    stored = "" if found.stored_at is None else f", stored {found.stored_at:%Y-%m-%d %H:%M:%S} UTC"
    say(console, f"\n{plain(found.aggregate_id)} since version {found.version}", "bold")
    if found.event_type:
        say(console, f"  {plain(found.event_type)} at position {found.position}{stored}")
    if found.old_error or found.new_error:
        say(console, f"  old: {plain(found.old_error or 'folds it')}")
        say(console, f"  new: {plain(found.new_error or 'folds it')}")
    elif not found.fields:
        say(console, "  a version gives another state each time that it folds")
    for change in found.fields:
        for path, old, new in _changes(change):
            say(console, f"  {plain(path)}: {_shortened(old)} → {_shortened(new)}")


def _changes(change: FieldChange) -> list[tuple[str, Any, Any]]:
    """What differs inside of a field: objects are looked into."""
    old, new = (
        _NOTHING if each is msgspec.UNSET else msgspec.json.decode(each)
        for each in (change.old, change.new)
    )
    return _inside(change.name, old, new)


def _inside(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if _written(old) == _written(new) else [(path, old, new)]
    ours, theirs = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    return [
        found
        for name in sorted({*ours, *theirs})
        for found in _inside(f"{path}.{name}", ours.get(name, _NOTHING), theirs.get(name, _NOTHING))
    ]


def _written(value: Any) -> str:
    return "nothing" if value is _NOTHING else msgspec.json.encode(value).decode()


def _shortened(value: Any) -> str:
    text = plain(_written(value))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
