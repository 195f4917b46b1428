"""Stores for tests: what keeps one from being opened, or removed, is told."""

from pathlib import Path

import asyncpg
import pytest

from hitherto import EventStoreUnavailable
from hitherto.testing.stores import new_store, new_sync_store

NOBODY = "postgresql://nobody@127.0.0.1:1/nowhere"


async def test_a_server_that_cannot_be_reached_is_told_as_by_any_store(tmp_path: Path) -> None:
    """Rather than that what was never made cannot be removed."""
    with pytest.raises(EventStoreUnavailable, match="cannot be reached"):
        async with new_store(NOBODY, tmp_path):
            pass
    with (
        pytest.raises(EventStoreUnavailable, match="cannot be reached"),
        new_sync_store(NOBODY, tmp_path),
    ):
        pass


@pytest.mark.integration
async def test_a_transaction_that_is_left_open_is_not_waited_for_without_end(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test that leaves it is told of the lock."""
    monkeypatch.setattr("hitherto.testing.stores.LOCK_TIMEOUT", "50ms")
    left = await asyncpg.connect(postgres_url)
    schema = ""
    try:
        with pytest.raises(asyncpg.LockNotAvailableError):
            async with new_store(postgres_url, tmp_path):
                schema = await left.fetchval(
                    "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hitherto_test%'"
                )
                await left.execute(f"BEGIN; SELECT FROM {schema}.event_store")
    finally:
        await left.execute(f"ROLLBACK; DROP SCHEMA {schema} CASCADE")
        await left.close()
