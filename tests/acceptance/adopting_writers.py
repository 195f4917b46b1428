"""Writers on both sides of an adoption, and the processes of `hitherto adopt` between them."""

import asyncio
import contextlib
import os
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from decimal import Decimal
from pathlib import Path

import asyncpg
from tests.acceptance.adopting import EmailChanged, PostgresWorld, User, World, insert, users_of

from hitherto import AggregateLocked, AggregateNotFound, Store

ROOT = Path(__file__).parents[2]
_HITHERTO = [sys.executable, "-m", "hitherto.cli", "adopt"]


async def process(world: World, *words: str) -> Process:
    """`hitherto adopt` of the users, with these options."""
    return await asyncio.create_subprocess_exec(
        *_HITHERTO, world.table_name,
        "--aggregate", "tests.acceptance.adopting:User",
        "--mapping", "tests.acceptance.adopting:Users",
        "--from", world.table_url, "--url", world.store_url, "--schema", world.schema, *words,
        stdout=PIPE, stderr=DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


async def told_by(world: World, *words: str) -> tuple[int, str]:
    """The exit status of such a process, and what it prints."""
    running = await process(world, *words)
    out, _ = await running.communicate()
    return running.returncode or 0, out.decode()


async def many(world: World, count: int) -> None:
    """That many users."""
    for first in range(1, count + 1, 500):
        await insert(
            world, {each: f"U{each}" for each in range(first, min(first + 500, count + 1))}
        )


class Writers:
    """Programs that write the table, and new code that writes the store.

    Args:
        world: The table.
        store: The store; open.
        rows: How many rows there are, with ids from 1 on.

    Attributes:
        by_programs: Transactions of programs.
        by_code: Commands of new code.
    """

    def __init__(self, world: World, store: Store, rows: int) -> None:
        self.by_programs = self.by_code = 0
        self._world = world
        self._users = users_of(store)
        self._rows = rows
        self._random = random.Random(7)
        self._new_ids = iter(range(1_000_000, 2_000_000))
        self._stopped = asyncio.Event()

    async def write(self, seconds: float, *, each: int = 2) -> None:
        """Write for so long, and until either side has written some."""
        tasks = [self._program() for _ in range(each)] + [self._code() for _ in range(each)]
        running = [asyncio.create_task(each) for each in tasks]
        await asyncio.sleep(seconds)
        while min(self.by_programs, self.by_code) <= 10:
            if any(each.done() for each in running):
                break  # It has failed.
            await asyncio.sleep(0.05)
        self._stopped.set()
        await asyncio.gather(*running)

    async def _program(self) -> None:
        async with self._world.program() as execute:
            while not self._stopped.is_set():
                count = self._random.choice([1, 1, 1, 3])
                statements = [self._statement() for _ in range(count)]
                with contextlib.suppress(
                    asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError
                ):
                    await execute(*statements)
                    self.by_programs += 1

    def _statement(self) -> str:
        table, number = self._world.table_name, self._random.randrange(10**6)
        row = self._row()
        kind = self._random.randrange(20)
        if kind == 0:
            return f"DELETE FROM {table} WHERE id = {row}"
        if kind == 1:
            system = "OVERRIDING SYSTEM VALUE" if isinstance(self._world, PostgresWorld) else ""
            return (
                f"INSERT INTO {table} (id, email, name) {system} VALUES "
                f"({next(self._new_ids)}, 'e{number}', 'n{number}')"
            )
        column = ["name", "email", "credit"][kind % 3]
        value = f"{number}.25" if column == "credit" else f"'{column}{number}'"
        return f"UPDATE {table} SET {column} = {value} WHERE id = {row}"

    async def _code(self) -> None:
        while not self._stopped.is_set():
            number = self._random.randrange(10**6)
            with contextlib.suppress(AggregateNotFound, AggregateLocked):
                if self._random.randrange(20):
                    await self._users.update(f"user-{self._row()}", self._command(number))
                else:
                    user = User.create(f"user-{next(self._new_ids)}", f"c{number}", f"c{number}")
                    await self._users.save(user)
                self.by_code += 1

    def _command(self, number: int):  # type: ignore[no-untyped-def]  # any of several
        kind = self._random.randrange(20)
        if kind == 0:
            return lambda user: user.remove()
        return [
            lambda user: user.rename(f"code{number}"),
            lambda user: user.record(EmailChanged(email=f"code{number}")),
            lambda user: user.set_credit(Decimal(number)),
        ][kind % 3]

    def _row(self) -> int:
        """Some rows are written much more often than others."""
        return (
            self._random.randrange(20) + 1
            if self._random.random() < 0.2
            else (self._random.randrange(self._rows) + 1)
        )
