# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""On SQLite foreign keys hold for what is written back, and what that sets off is captured."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw
from tests.acceptance.test_adopting_columns import Kept, Rows

from hitherto import Repository, connect
from hitherto.application.adopting import InStep, Mapped, adopt, compare
from hitherto.infrastructure.legacy import legacy_table


def _run(path: Path, *statements: str) -> Sequence[object]:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        return [row for each in statements for row in connection.execute(each)]
    finally:
        connection.close()


async def test_rows_go_with_the_one_that_they_refer_to(tmp_path: Path) -> None:
    """In another table, and in its own."""
    path = tmp_path / "shop.db"
    await asyncio.to_thread(
        _run,
        path,
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT,"
        " parent INT REFERENCES items ON DELETE CASCADE)",
        "CREATE TABLE parts (id INTEGER PRIMARY KEY, name TEXT,"
        " item INT REFERENCES items ON DELETE CASCADE)",
        "INSERT INTO items VALUES (1, 'one', NULL), (2, 'two', 1)",
        "INSERT INTO parts VALUES (10, 'ten', 1)",
    )
    tables = [legacy_table(f"sqlite:///{path}", name) for name in ("items", "parts")]
    async with connect(f"sqlite:///{tmp_path}/events.db") as store:
        both = [Mapped(store, Kept, Rows(f"{each.name}-", "name"), each) for each in tables]
        for each in both:
            await each.table.open()
            await each.table.install()
        try:
            for each in both:
                await adopt(each)
            kept = Repository(store, Kept)
            await kept.update("items-1", Kept.remove)
            for each in (*both, *both):
                await InStep(each).catch_up()
            for each_id in ("items-2", "parts-10"):
                assert (await kept.load(each_id)).gone
            for each in both:
                assert await each.table.count() == 0
                assert (await compare(each)).equal
        finally:
            for table in tables:
                await table.close()
