"""The pages of the documentation, and the blocks of code on them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
# Runs of the shell that a command line goes on after.
_CONTINUED = re.compile(r"\\\n(?:> )?")


class Block(NamedTuple):
    """A fenced block; after its language there may be a word: a file's name, or `no-run`."""

    page: Path
    line: int
    language: str
    word: str
    code: str

    @property
    def where(self) -> str:
        """For people."""
        return f"{name_of(self.page)}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line."""
        return self.code.partition("\n")[0].strip()

    @property
    def commands(self) -> list[str]:
        """The command lines of a console block, without what they print."""
        lines = _CONTINUED.sub(" ", self.code).splitlines()
        return [line[2:] for line in lines if line.startswith("$ ")]


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks, in their order."""
    return list(_blocks(page))


def prose_of(page: Path) -> str:
    """What is outside of the fences."""
    text, inside = [], False
    for line in page.read_text().splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            text.append(line)
    return "\n".join(text)


def _blocks(page: Path) -> Iterator[Block]:
    lines: list[str] | None = None
    language, word, start = "", "", 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            if lines is None:
                language, _, word = line.strip().removeprefix("```").partition(" ")
                lines, start = [], number
            else:
                yield Block(page, start, language, word, "".join(f"{each}\n" for each in lines))
                lines = None
        elif lines is not None:
            lines.append(line)
    assert lines is None, f"{page}:{start}: the block does not end"
