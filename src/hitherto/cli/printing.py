"""What commands print: lines, findings, JSON."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from hitherto.application.findings import Finding

_PLACES = 5


def show_findings(console: Console, findings: Sequence[Finding], *, remedies: bool) -> None:
    """What is wrong, and where; of many places the first."""
    for finding in findings:
        say(console, f"\n{finding.kind}: {finding.count:,}", "bold")
        for place in finding.places[:_PLACES]:
            say(console, f"  {place.what}")
        if finding.count > _PLACES:
            say(console, f"  … and {finding.count - _PLACES:,} more")
        if remedies:
            say(console, f"  Remedy: {finding.remedy}.", "cyan")


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line in one piece, however long it is; no markup is read into it."""
    console.print(Text(line, style=style), soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value, for programs."""
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    sys.stdout.write(f"{text}\n")
