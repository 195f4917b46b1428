"""What commands print: lines, findings, JSON."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from hitherto.application.findings import Finding
from hitherto.application.ports.personal import TextPlace

MANY = 20
"""The most ids or places that are told one by one."""

_PLACES = 5
_CONTROLS = {
    code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
} | {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_IN_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS if code > 126}
_IN_LINES = {code: text for code, text in _CONTROLS.items() if code != ord("\n")}


def plain(text: str) -> str:
    """A text whose control characters, which a terminal would obey, are written out."""
    return text.translate(_CONTROLS)


def show_findings(console: Console, findings: Sequence[Finding], *, remedies: bool) -> None:
    """What is wrong, and where; of many places the first."""
    for finding in findings:
        say(console, f"\n{finding.kind}: {finding.count:,}", "bold")
        for place in finding.places[:_PLACES]:
            say(console, f"  {plain(place.what)}")
        if finding.count > _PLACES:
            say(console, f"  … and {finding.count - _PLACES:,} more")
        if remedies:
            say(console, f"  Remedy: {finding.remedy}.", "cyan")


def show_left(
    console: Console, left: Sequence[TextPlace], projections: Sequence[str], *, dry_run: bool
) -> None:
    """Where texts stand that are to go; of many places the first."""
    say(console, "The texts stand in" + (":" if dry_run else ", still:"), "yellow")
    for place in left[:MANY]:
        say(console, f"  {place.table}: {place.name} {place.key}")
    if len(left) > MANY:
        say(console, f"  … and {len(left) - MANY:,} more")
    if projections and not dry_run:
        say(console, f"Rebuild these projections: {', '.join(projections)}.", "cyan")


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line in one piece, however long it is; neither markup nor a control counts in it."""
    console.print(Text(line.translate(_IN_LINES), style=style), soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value, for programs."""
    sys.stdout.write(f"{msgspec.json.format(written(value))}\n")


def written(value: object) -> str:
    """A value as JSON, with what a terminal would obey as escapes."""
    return msgspec.json.encode(value).decode().translate(_IN_JSON)
