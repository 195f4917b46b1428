"""A table of users as programs kept them, and what its rows mean as events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, Self
from uuid import UUID

import apsw
import asyncpg
from tests.servers import new_schema

from hitherto import Adoption, Aggregate, Event, Repository, Store, connect
from hitherto.application.adopting import LegacyTable, Mapped, Row
from hitherto.infrastructure.legacy import legacy_table

JOINED = datetime(2020, 5, 17, 8, 30, 1, 250_000, tzinfo=UTC)
BADGE = UUID("0c6ff7a4-13f2-4a42-9d62-9b5f7b1b8d11")


class UserCreated(Event):
    email: str
    name: str
    active: bool
    credit: Decimal = Decimal(0)
    joined: datetime | None = None
    badge: UUID | None = None


class UserRenamed(Event):
    name: str


class EmailChanged(Event):
    email: str


class CreditSet(Event):
    credit: Decimal


class ActiveSet(Event):
    active: bool


class UserRemoved(Event):
    pass


UserEvent = UserCreated | UserRenamed | EmailChanged | CreditSet | ActiveSet | UserRemoved


class User(Aggregate[UserEvent]):
    email: str = ""
    name: str = ""
    active: bool = False
    credit: Decimal = Decimal(0)
    joined: datetime | None = None
    badge: UUID | None = None
    is_there: bool = False

    @classmethod
    def create(cls, user_id: str, email: str, name: str) -> Self:
        user = cls(user_id)
        user.record(UserCreated(email=email, name=name, active=True))
        return user

    def rename(self, name: str) -> None:
        self.record(UserRenamed(name=name))

    def change_email(self, email: str) -> None:
        self.record(EmailChanged(email=email))

    def set_credit(self, credit: Decimal) -> None:
        self.record(CreditSet(credit=credit))

    def remove(self) -> None:
        self.record(UserRemoved())

    def apply(self, event: UserEvent) -> None:
        match event:
            case UserCreated():
                self.email, self.name, self.active = event.email, event.name, event.active
                self.credit, self.joined, self.badge = event.credit, event.joined, event.badge
                self.is_there = True
            case UserRenamed(name=name):
                self.name = name
            case EmailChanged(email=email):
                self.email = email
            case CreditSet(credit=credit):
                self.credit = credit
            case ActiveSet(active=active):
                self.active = active
            case UserRemoved():
                self.is_there = False


class Users(Adoption[User]):
    prefix = "user-"

    def baseline(self, row: Row) -> UserEvent:
        if not row["email"]:
            raise ValueError("a user without an email")
        fields = ("email", "name", "active", "credit", "joined", "badge")
        return UserCreated(**{field: row[field] for field in fields})

    def changed(self, before: Row, after: Row) -> list[UserEvent]:
        events: list[UserEvent] = []
        if after["name"] != before["name"]:
            if after["name"] == "refused":
                raise ValueError("nobody is called so")
            events.append(UserRenamed(name=after["name"]))
        if after["email"] != before["email"]:
            events.append(EmailChanged(email=after["email"]))
        if after["credit"] != before["credit"]:
            events.append(CreditSet(credit=after["credit"]))
        if after["active"] != before["active"]:
            events.append(ActiveSet(active=after["active"]))
        return events

    def deleted(self, row: Row) -> list[UserEvent]:
        return [UserRemoved()]

    def row_of(self, user: User) -> Row | None:
        if not user.is_there:
            return None
        fields = ("email", "name", "active", "credit", "joined", "badge")
        return {field: getattr(user, field) for field in fields}


def from_row(row: Row) -> UserEvent:
    """The mapping of somebody who wants the rows once."""
    return UserCreated(email=row["email"], name=row["name"], active=row["active"])


Execute = Callable[..., Awaitable[None]]


class World(Protocol):
    """A table and a store, and somebody who writes the table as programs do."""

    table_url: str
    table_name: str
    store_url: str
    schema: str

    async def execute(self, *statements: str) -> None:
        """Run statements of a program, in one transaction."""
        ...

    async def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives to a program."""
        ...

    def program(self) -> AbstractAsyncContextManager[Execute]:
        """Runs statements, again and again; each time in one transaction."""
        ...


class PostgresWorld:
    def __init__(self, url: str, schema: str) -> None:
        self.table_url = self.store_url = url
        self.schema = schema
        self.table_name = f"{schema}.users"

    async def make(self) -> None:
        await self.execute(
            f"CREATE SCHEMA {self.schema}",
            f"""CREATE TABLE {self.schema}.users (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                email text NOT NULL, name text NOT NULL, active boolean NOT NULL DEFAULT true,
                credit numeric(12, 2) NOT NULL DEFAULT 0, joined timestamptz, badge uuid,
                settings jsonb, last_seen timestamptz)""",
        )

    async def execute(self, *statements: str) -> None:
        async with self.program() as execute:
            await execute(*statements)

    @asynccontextmanager
    async def program(self) -> AsyncIterator[Execute]:
        connection = await asyncpg.connect(self.table_url)

        async def execute(*statements: str) -> None:
            async with connection.transaction():
                for each in statements:
                    await connection.execute(each)

        try:
            yield execute
        finally:
            await connection.close()

    async def fetch(self, query: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.table_url)
        try:
            return [tuple(row.values()) for row in await connection.fetch(query)]
        finally:
            await connection.close()


class SqliteWorld:
    """The program uses the store's own library: two in one process undo each other's locks."""

    def __init__(self, path: Path, store: Path) -> None:
        self.path = path
        self.table_url = f"sqlite:///{path}"
        self.store_url = f"sqlite:///{store}"
        self.schema = "public"
        self.table_name = "users"

    async def make(self) -> None:
        await self.execute(
            """CREATE TABLE users (
                id INTEGER PRIMARY KEY,
                email TEXT NOT NULL, name TEXT NOT NULL, active BOOLEAN NOT NULL DEFAULT 1,
                credit DECIMAL(12, 2) NOT NULL DEFAULT 0, joined TIMESTAMP, badge UUID,
                settings TEXT, last_seen TIMESTAMP)"""
        )

    async def execute(self, *statements: str) -> None:
        await asyncio.to_thread(self._execute, statements)

    async def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._execute, [query])

    @asynccontextmanager
    async def program(self) -> AsyncIterator[Execute]:
        yield self.execute

    def _execute(self, statements: Iterable[str]) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(30_000)
        found: list[tuple[Any, ...]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for each in statements:
                found = list(connection.execute(each))
            connection.execute("COMMIT")
        finally:
            connection.close()
        return found


KINDS = ("postgres", "sqlite", "one-file")


async def made(kind: str, postgres_url: Any, folder: Path) -> World:
    """An empty table of users; in one SQLite file with the store, or in one of its own."""
    if kind == "postgres":
        world = PostgresWorld(postgres_url(), new_schema())
        await world.make()
        return world
    store = folder / ("shop.db" if kind == "one-file" else "events.db")
    other = SqliteWorld(folder / "shop.db", store)
    await other.make()
    return other


@asynccontextmanager
async def opened(world: World, mapping: Adoption[Any] | None = None) -> AsyncIterator[Mapped]:
    """The table and the store, both open."""
    table: LegacyTable = legacy_table(world.table_url, world.table_name)
    async with connect(world.store_url, schema=world.schema) as store:
        await table.open()
        try:
            yield Mapped(store, User, mapping or Users(), table)
        finally:
            await table.close()


async def insert(world: World, names: Mapping[int, str] | Sequence[str]) -> None:
    """Users of these names; their ids begin with 1 where none are told."""
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names, 1)
    system = "OVERRIDING SYSTEM VALUE" if isinstance(world, PostgresWorld) else ""
    values = ", ".join(
        f"({number}, '{name}@example.com', '{name}', true, {number}.25, "
        f"'2020-05-17 08:30:01.250+00:00', '{BADGE}')"
        for number, name in pairs
    )
    await world.execute(
        f"INSERT INTO {world.table_name} (id, email, name, active, credit, joined, badge) {system} "
        f"VALUES {values}"
    )


def users_of(store: Store) -> Repository[User]:
    """The repository of new code."""
    return Repository(store, User)
