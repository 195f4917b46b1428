"""A page that is followed as a reader does: its files are written, its commands run."""

import difflib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.request import urlopen

from tests.acceptance.docs_blocks import ROOT, Block, blocks_of, name_of
from tests.acceptance.docs_unrun import CONSOLE
from tests.servers import free_port

Varying: TypeAlias = Sequence[tuple[re.Pattern[str], str]]
"""Patterns of what differs from run to run, and what it is called instead."""

_VARYING: Varying = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b([0-9a-f]{64}){1,2}\b"), "<hash>"),
    (re.compile(r"\d+\.\d+ s\b( ago)?"), "<seconds>"),
    (re.compile(r"in \d+\.\d+s"), "in <seconds>"),
    (re.compile(r"[\d,]+ a second"), "<rate>"),
    (re.compile(r'"latency":[\d.e-]+|"(size|idle|schema_version)":\d+'), "<measured>"),
    (re.compile(r" +"), " "),  # a column is as wide as what varies
]


# What was done before, of the pages that need it; the parts of the tutorial follow each other.
TUTORIAL = sorted((ROOT / "docs/tutorial").glob("*.md"))
AFTER_DEMO = [ROOT / "docs/how-to/look-into-a-store.md", ROOT / "docs/how-to/move-a-store.md"]
# Of those that test_docs_stories.py follows, each with a store of its own.
STORIES = [
    ROOT / f"docs/how-to/{page}.md"
    for page in (
        "archive-closed-aggregates", "check-events-before-a-release",
        "compare-two-versions-of-the-code", "detect-tampering",
        "erase-a-payload", "forget-a-person", "move-from-crud",
        "run-projections",
    )
]  # fmt: skip
# Of those that show commands without what they print, each after what it builds on.
TRIED_OUT = [
    ROOT / f"docs/{page}.md"
    for page in (
        "how-to/run-on-postgresql", "how-to/verify-a-store", "how-to/rebuild-snapshots",
        "how-to/solve-common-problems", "how-to/monitor-a-store", "reference/command-line",
        "reference/health", "reference/logging",
    )
]  # fmt: skip


class Reader:
    """Somebody at a shell.

    Args:
        folder: Where.
        stand_ins: What is done in place of a command, by its beginning.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stand_ins: Mapping[str, Callable[["Reader"], None]] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()  # in place of 8000
        self.stand_ins = stand_ins or {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "88",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        self._behind: list[subprocess.Popen[str]] = []

    def follow(self, page: Path) -> None:
        """Write its files and run its commands; each has to print what the page shows.

        But for those that docs_unrun.py names.
        """
        unrun = CONSOLE.get(name_of(page), {})
        for block in blocks_of(page):
            if block.word not in {"", "no-run"}:
                (self.folder / block.word).write_text(block.code)
            elif block.language == "console":
                for command, expected in exchanges(block):
                    if not any(map(command.startswith, unrun)):
                        check_same(block, command, expected, self.run(command))

    def run(self, command: str) -> str:
        """What it prints, errors too."""
        for beginning, stand_in in self.stand_ins.items():
            if command.startswith(beginning):
                stand_in(self)
                return ""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environment[name] = value
            return ""
        if command == "kill %1":
            self.end()
            return ""
        command = command.replace("localhost:8000", f"127.0.0.1:{self.port}")
        if command.endswith("&"):
            self.serve(command.removesuffix("&"))
            return ""
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
        )  # fmt: skip
        return ended.stdout

    def serve(self, command: str) -> None:
        """Run uvicorn beside, until it answers."""
        self._behind.append(
            subprocess.Popen(
                [*command.split(), "--port", str(self.port)],
                cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            )
        )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self.port}/ops/healthz", timeout=5).close()
            except OSError:
                assert time.monotonic() < end, "no answer"
                time.sleep(0.05)
            else:
                return

    def end(self) -> None:
        """End what was left behind."""
        while self._behind:
            process = self._behind.pop()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def exchanges(block: Block) -> list[tuple[str, str]]:
    """Of a console block, each command and what it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def check_same(
    block: Block, command: str, expected: str, printed: str, varying: Varying = ()
) -> None:
    """Up to what varies; `…` stands for any lines, at the end of a line for its rest."""
    wanted, found = _lines(expected, varying), _lines(printed, varying)
    pattern = "".join(
        r"(.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in wanted
    )
    if not re.fullmatch(pattern, "".join(f"{line}\n" for line in found)):
        differ = "\n".join(difflib.unified_diff(wanted, found, "the page", "the run", lineterm=""))
        raise AssertionError(f"{block.where}: $ {command}\n{differ}")


def _lines(text: str, varying: Varying) -> list[str]:
    for pattern, name in (*_VARYING, *varying):
        text = pattern.sub(name, text)
    return [line.strip() for line in text.strip().splitlines()]
