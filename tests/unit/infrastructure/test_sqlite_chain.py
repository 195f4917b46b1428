"""What SQLite does for the hashes; the rest is in the contract."""

from pathlib import Path

import apsw

from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite import SqliteStore


async def test_a_page_of_heads_costs_the_same_in_a_log_of_any_length(tmp_path: Path) -> None:
    """An index leads to each, and none is made for the query alone, over all that is stored."""
    path = str(tmp_path / "events.db")
    store = SqliteStore(path)
    await store.open()
    await store.close()
    query = named_queries("hitherto.infrastructure.sqlite", "chain.sql")["heads"]
    connection = apsw.Connection(path)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", ("", 9, 10))]
    connection.close()
    assert any("idx_event_archive_aggregate_version" in step for step in steps)
    assert not [step for step in steps if "AUTOMATIC" in step or "SCAN event" in step]
