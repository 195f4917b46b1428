"""Strings that want to be more than strings: refused before any I/O, or kept as they are."""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote, unquote, urlsplit

import apsw
import asyncpg
from tests.acceptance.postgres_stores import quoted, with_database
from tests.faults.hostile import USES, Note, Noted, Use, hostile_texts
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server

from hitherto import Repository, Store, connect
from hitherto.errors import (
    ConfigurationError,
    EventSerializationFailed,
    EventStoreUnavailable,
    HithertoError,
    InvalidInput,
    SchemaMismatch,
)
from hitherto.testing import Probe

_REFUSED = (InvalidInput, ConfigurationError, EventSerializationFailed)
_SECRET = "s3cr3t"
_getaddrinfo = socket.getaddrinfo
_CATALOG = """SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2"""
_CANARY = "CREATE TABLE {} AS SELECT 'it sings' AS x"
_NAMED = 12  # roles and databases at most, for they cost the most


async def run(run: Run) -> Outcome:
    """Every string in every place, on all backends; canaries tell whether others suffer."""
    outcome = Outcome()
    texts = hostile_texts(run.count, run.random("texts"))
    server, database = shared_server().url(), new_schema()
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"CREATE DATABASE {database}")
        with mock.patch("socket.getaddrinfo", _only_numbers):
            await _inside(with_database(server, database), run, texts, outcome)
        await _roles_and_databases(admin, server, texts, outcome)
        await admin.execute(f"DROP DATABASE {database}")
    finally:
        await admin.close()
    # They are to be printed, and some texts can't be.
    outcome.violations = [
        each.encode(errors="backslashreplace").decode() for each in outcome.violations
    ]
    return outcome


async def _inside(url: str, run: Run, texts: Sequence[str], outcome: Outcome) -> None:
    file = run.directory / "store.db"
    async with contextlib.AsyncExitStack() as stack:
        stores = {
            "memory": connect("memory:"),
            "sqlite": connect(f"sqlite:///{file}"),
            "postgresql": connect(url, schema=new_schema()),
        }
        for name, store in stores.items():
            stores[name] = await stack.enter_async_context(Store(Probe(store.backend)))
        canaries = _Canaries(await asyncpg.connect(url), apsw.Connection(str(file)))
        stack.push_async_callback(canaries.close)
        await canaries.plant()
        for number, text in enumerate(texts):
            for use in USES:
                await _everywhere(stores, use, text, number, outcome)
            await _schema(canaries.postgres, url, text, outcome)
            await _urls(url, text, outcome)
            await _paths(run.directory / f"path-{number}", text, outcome)
        outcome.violations += await canaries.harmed()


class _Canaries:
    """Tables that are nobody's business, in both databases."""

    def __init__(self, postgres: Any, sqlite: apsw.Connection) -> None:
        self.postgres = postgres
        self.sqlite = sqlite
        self._before: object = None

    async def plant(self) -> None:
        """From now on nothing else may come or go."""
        await self.postgres.execute(f"CREATE SCHEMA other; {_CANARY.format('other.canary')}")
        self.sqlite.execute(_CANARY.format("canary"))
        self._before = await self._state()

    async def harmed(self) -> list[str]:
        """Whether it did."""
        after = await self._state()
        return [] if after == self._before else [f"there was {self._before}, now there is {after}"]

    async def close(self) -> None:
        await self.postgres.close()
        self.sqlite.close()

    async def _state(self) -> object:
        return (
            [tuple(row) for row in await self.postgres.fetch(_CATALOG)],
            await self.postgres.fetchval("SELECT x FROM other.canary"),
            self.sqlite.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall(),
            self.sqlite.execute("SELECT x FROM canary").get,
        )


async def _everywhere(
    stores: Mapping[str, Store], use: Use, text: str, number: int, outcome: Outcome
) -> None:
    """The backends agree, and are right."""
    outcome.faults[use.name] += 1
    told = {name: await _told(store, use, text, number) for name, store in stores.items()}
    for backend, each in told.items():
        outcome.operations["ok" if each == "kept" else "failed"] += 1
        if each not in {"kept", "refused"}:
            outcome.violations.append(f"{use.name} {text!r} on {backend}: {each}")
    if len(set(told.values())) > 1:
        outcome.violations.append(f"{use.name} {text!r}: the backends do not agree: {told}")


async def _told(store: Store, use: Use, text: str, number: int) -> str:
    probe: Any = store.backend
    probe.reset()
    try:
        await use.try_out(store, text, number)
    except _REFUSED as error:
        if probe.calls:
            return f"refused after {probe.calls}: {error!r}"
        return "refused" if use.names in str(error) else f"refused without its name: {error!r}"
    except AssertionError as error:
        return f"it came back changed: {error}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told
        return f"a bare {error!r}"
    return "kept"


async def _schema(admin: Any, url: str, text: str, outcome: Outcome) -> None:
    """As the schema of a PostgreSQL store."""
    outcome.faults["schema"] += 1
    told = await _opened(outcome, f"schema {text!r}", url, names="schema=", schema=text)
    if told == "kept":
        made = await admin.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", text)
        if not made:
            outcome.violations.append(f"schema {text!r} was opened, but is not there")
        await admin.execute(f"DROP SCHEMA {quoted(text)} CASCADE")
        if text == "public":
            await admin.execute(f"CREATE SCHEMA {quoted(text)}")


async def _urls(url: str, text: str, outcome: Outcome) -> None:
    """As a part of PostgreSQL's URL, as it is and percent-encoded; its password is not told."""
    server = urlsplit(url)
    host = f"{server.hostname}:{server.port}"
    encoded = quote(text, safe="", errors="surrogatepass")
    for each in dict.fromkeys([text, encoded]):
        for candidate in (
            f"postgresql://{each}:{_SECRET}@{host}{server.path}",
            f"postgresql://postgres:{_SECRET}{each}@{host}{server.path}",
            f"postgresql://postgres:{_SECRET}@{host}/{each}",
            f"postgresql://postgres:{_SECRET}@{server.hostname}{each}:{server.port}/",
            f"postgresql://postgres:{_SECRET}@{host}{each}/",
            f"postgresql://postgres:{_SECRET}@{host}{server.path}?application_name={each}",
            f"postgresql://postgres:{_SECRET}@{host}{server.path}?{each}=1",
        ):
            outcome.faults["part of a URL"] += 1
            # It may lead to somebody's own server, so it must not make tables.
            told = await _opened(outcome, candidate, candidate, migrate=False)
            if told in {"kept", "reached"} and "\0" in text:  # It ends one parameter of many.
                outcome.violations.append(f"{candidate!r} was taken with its NUL")


async def _roles_and_databases(
    admin: Any, server: str, texts: Sequence[str], outcome: Outcome
) -> None:
    """As the names of a role and of a database, which are there."""
    netloc = urlsplit(server).netloc.rpartition("@")[2]
    fitting = [text for text in texts if _fits(text)][: min(_NAMED, len(texts) // 4)]
    for text in fitting:
        outcome.faults["role and database"] += 1
        name = quoted(text)
        await admin.execute(f"CREATE ROLE {name} LOGIN")
        await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
        part = quote(text, safe="")
        url = f"postgresql://{part}@{netloc}/{part}"
        told = await _opened(outcome, f"role and database {text!r}", url)
        if told != "kept":
            outcome.violations.append(f"role and database {text!r} cannot be used: {told}")
        await admin.execute(f"DROP DATABASE {name}")
        await admin.execute(f"DROP ROLE {name}")


async def _paths(directory: Path, text: str, outcome: Outcome) -> None:
    """As the name of a SQLite file, as it is and percent-encoded."""
    encoded = quote(text, safe="/", errors="surrogatepass")
    for number, each in enumerate(dict.fromkeys([encoded, text])):
        outcome.faults["path"] += 1
        folder = directory / str(number) / "below"
        folder.mkdir(parents=True)
        expected = normpath(f"{folder}/{unquote(each, errors='surrogatepass')}")
        url = f"sqlite:///{folder}/{each}"
        told = await _opened(outcome, f"path {url!r}", url, names="url=")
        files = [path for path in (directory / str(number)).rglob("*") if path.is_file()]
        if told == "kept" and [str(path) for path in files] != [expected]:
            outcome.violations.append(f"path {url!r} made {files}, not {expected!r}")
        if told == "refused" and files:
            outcome.violations.append(f"path {url!r} was refused, but made {files}")


async def _opened(
    outcome: Outcome, what: str, url: str, *, names: str = "", **settings: Any
) -> str:
    """Make a store and use it: "kept", "reached", "refused" before any I/O, or else."""
    made = False
    error: Exception | None = None
    try:
        store = connect(url, connect_timeout=5, timeout=5, **settings)
        made = True
        async with store:
            await _use(store)
    except Exception as raised:  # noqa: BLE001  # whatever it is, it is told
        error = raised
    told, message = _kind(error, made=made), str(error or "")
    # Of a URL's parts only the server knows whether they are any good.
    unnamed = told == "refused" and names not in message
    if told == "hit by a bare error" or unnamed or (told == "refused after I/O" and names):
        outcome.violations.append(f"{what} was {told}: {error!r}")
    if _SECRET in message:
        outcome.violations.append(f"{what}: the password is told: {message}")
    outcome.operations["ok" if told == "kept" else "failed"] += 1
    return told


def _kind(error: Exception | None, *, made: bool) -> str:
    match error:
        case None:
            return "kept"
        case ConfigurationError() if not made:
            return "refused"
        case SchemaMismatch():  # It may not make the tables.
            return "reached"
        case EventStoreUnavailable() | ConfigurationError():
            return "unavailable"
        case HithertoError():
            return "refused after I/O"
        case _:
            return "hit by a bare error"


async def _use(store: Store) -> None:
    notes = Repository(store, Note)
    note = Note("note")
    note.record(Noted(note="kept"))
    await notes.save(note)
    assert (await notes.load("note")).note == "kept"


def _only_numbers(host: Any, *arguments: Any, **options: Any) -> Any:
    """In the place of `socket.getaddrinfo`: no name is looked up anywhere."""
    options["flags"] = socket.AI_NUMERICHOST
    return _getaddrinfo(host, *arguments[:4], **options)


def _fits(text: str) -> bool:
    """Whether PostgreSQL takes it as the name of a new role."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        return False
    taken = text.startswith("pg_") or text in {"public", "none"}
    return 1 <= length <= 63 and "\0" not in text and not taken


ROW = Row(title="Hostile names and texts", promises="6", run=run, full=200, quick=12)
