"""A page that is followed by a reader who runs `hitherto` in this process, which is fast."""

import asyncio
import contextlib
import importlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import apsw
import pytest
from tests.acceptance.docs_blocks import blocks_of, name_of
from tests.acceptance.docs_shell import Reader, check_same, exchanges
from tests.acceptance.docs_unrun import CONSOLE

from hitherto import Store, connect
from hitherto.cli.app import run

Meanwhile: TypeAlias = Mapping[int, Callable[[], object]]
"""What happens before a console block of the page, by its number from 0."""


class Listener(Reader):
    """Somebody at this process's shell, with a store."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        super().__init__(folder)
        self.url = url
        self.varying: list[tuple[re.Pattern[str], str]] = []  # besides what does on every page
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("TTY_COMPATIBLE", "0")
        monkeypatch.setenv("COLUMNS", self.environment["COLUMNS"])
        monkeypatch.setenv("DATABASE_URL", url)
        self.environment["DATABASE_URL"] = url
        self._status = 0

    def write(self, name: str, code: str) -> Any:
        """A module, imported anew."""
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        for each in (name, name.partition(".")[0]):
            self._patch.setitem(sys.modules, each, ModuleType(each))  # to be forgotten afterwards
            del sys.modules[each]
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # may be of one second
        try:
            return importlib.import_module(name)
        finally:
            sys.dont_write_bytecode = before

    def tell(self, page: Path, meanwhile: Meanwhile) -> None:
        """Run its commands, and what happens between them; each has to print what is shown."""
        unrun = CONSOLE.get(name_of(page), {})
        console = [each for each in blocks_of(page) if each.language == "console"]
        for number, block in enumerate(console):
            meanwhile.get(number, lambda: None)()
            for command, expected in exchanges(block):
                if not any(map(command.startswith, unrun)):
                    check_same(block, command, expected, self.run(command), self.varying)

    def try_out(self, page: Path, stand_ins: Mapping[str, str]) -> None:
        """Run its commands, of which it does not show what they print; each has to end well."""
        unrun = CONSOLE.get(name_of(page), {})
        for shown in (each for block in blocks_of(page) for each in block.commands):
            if any(map(shown.startswith, unrun)):
                continue
            command, _, fed = shown.partition(" | ")
            for name, stand_in in stand_ins.items():
                command = command.replace(name, stand_in)
            printed = self.run(command)
            assert self._status == 0, f"{name_of(page)}: $ {shown}\n{printed}"
            if fed:
                subprocess.run(
                    ["bash", "-c", f"{fed} -qXv ON_ERROR_STOP=1"],
                    env=self.environment, input=printed, text=True, check=True, timeout=60,
                )  # fmt: skip

    def run(self, command: str) -> str:
        """What it prints, errors too."""
        if command == "echo $?":
            return f"{self._status}\n"
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._patch.setenv(name, value)
        if command.startswith("psql "):
            command = command.replace("psql", f"psql -X '{self.url}'", 1)
        if command.startswith("sqlite3 "):
            _, file, statements = shlex.split(command)
            with contextlib.closing(apsw.Connection(file)) as connection:
                connection.execute(statements)
            return ""
        if not command.startswith("hitherto ") or re.search(r" [|&]", command):
            return super().run(command)
        command, _, file = command.partition(" > ")
        if command.endswith("--capture run"):
            command += " --until-caught-up"  # in place of Ctrl-C
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            self._status = run(shlex.split(command)[1:])
        if not file:
            return printed.getvalue()
        (self.folder / file).write_text(printed.getvalue())
        return ""

    def fill(self, work: Callable[[Store], Awaitable[object]], **options: Any) -> None:
        """Do some work with the store."""

        async def filled() -> None:
            async with connect(self.url, **options) as store:
                await work(store)

        asyncio.run(filled())


def code_of(page: Path, *, but: str = "") -> str:
    """The Python of a page as one module, without the line that runs it."""
    blocks = [each.code for each in blocks_of(page) if each.language == "python"]
    return "\n".join(blocks if not but else [each for each in blocks if but not in each]).replace(
        "\nasyncio.run(main())\n", "\n"
    )
