# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""What is wrong with a SQLite file, found by SQLite."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

import apsw

from hitherto.application.findings import Finding, Row, Tally
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.schema import migrate

_SQL = named_queries("hitherto.infrastructure.sqlite")
_MESSAGES = 1000
_GUARDS = """SELECT type, name, sql FROM sqlite_master
    WHERE tbl_name IN ('event_store', 'event_archive', 'event_store_and_archive', 'event_hashes',
                       'event_erasures', 'aggregate_tombstones', 'aggregate_snapshots')
      AND (type IN ('table', 'view', 'trigger') OR sql LIKE 'CREATE UNIQUE %')"""

Check = Callable[[apsw.Connection], Iterator[Row]]


async def inspect(connections: Connections) -> Sequence[Finding]:
    """See `Inspection.inspect`."""
    tally = Tally()
    for check in _checks():
        # Each in a transaction of its own, so that the file is not held back for long.
        await connections.read(partial(_run, check, tally))
    return tally.findings()


def _checks() -> Iterator[Check]:
    yield _file
    yield _guards
    yield _texts
    yield _values
    for name, query in _SQL.items():
        if name.startswith("inspect_"):
            yield partial(_query, query)


def _run(check: Check, tally: Tally, connection: apsw.Connection) -> None:
    try:
        tally.extend(check(connection))
    except apsw.CorruptError as error:
        tally.add("file-damaged", detail=f"it cannot be read: {error}")
    except UnicodeDecodeError:
        if not (tally.has("value-malformed") or tally.has("snapshot-malformed")):
            raise
    except apsw.SQLError:
        if not tally.has("guard-missing"):  # Where a table is not as it should be, that is told.
            raise


def _query(query: str, connection: apsw.Connection) -> Iterator[Row]:
    rows = cast("Iterator[Row]", connection.execute(query))
    for kind, aggregate_id, *others in rows:
        yield cast("Row", (kind, _legible(aggregate_id), *others))


def _file(connection: apsw.Connection) -> Iterator[Row]:
    messages: Any = connection.execute(f"PRAGMA integrity_check({_MESSAGES})")
    for (message,) in messages:
        if message != "ok":
            yield "file-damaged", None, None, None, message


def _guards(connection: apsw.Connection) -> Iterator[Row]:
    """Tables, unique indexes and triggers that are not as the migrations make them."""
    pristine = apsw.Connection(":memory:")
    migrate(pristine)
    found, wanted = _definitions(connection), _definitions(pristine)
    pristine.close()
    for (kind, name), definition in wanted.items():
        if (kind, name) not in found:
            yield "guard-missing", None, None, None, f"the {kind} {name} is missing"
        elif found[kind, name] != definition:
            yield "guard-missing", None, None, None, f"the {kind} {name} has been changed"


def _definitions(connection: apsw.Connection) -> dict[tuple[str, str], str]:
    rows: Any = connection.execute(_GUARDS)
    return {(kind, name): "".join(sql.replace('"', "").split()) for kind, name, sql in rows}


def _texts(connection: apsw.Connection) -> Iterator[Row]:
    """Texts that are not UTF-8; what else is wrong in their rows may go untold."""
    rows: Any = connection.execute(_SQL["texts"])
    for kind, aggregate_id, position, texts in rows:
        try:
            texts.decode()
        except UnicodeDecodeError:
            yield kind, _legible(aggregate_id), None, position, "a text in it is not UTF-8"


def _legible(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _values(connection: apsw.Connection) -> Iterator[Row]:
    """Ids and times that are none."""
    rows: Any = connection.execute(_SQL["values"])
    for aggregate_id, version, position, event_id, *moments in rows:
        try:
            if str(UUID(event_id)) != event_id:
                raise ValueError(event_id)
        except (ValueError, AttributeError, TypeError):
            detail = f"event_id is {event_id!r}, no UUID in its usual form"
            yield "value-malformed", aggregate_id, version, position, detail
        for name, moment in zip(("occurred_at", "created_at"), moments, strict=True):
            if not _is_moment(moment):
                detail = f"{name} is {moment!r}, no time with a zone"
                yield "value-malformed", aggregate_id, version, position, detail


def _is_moment(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() is not None
    except (ValueError, TypeError):
        return False
