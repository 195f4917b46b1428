"""Personal fields in memory, on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest
from tests.contract.forgetting import ADA, PersonalContract

from hitherto import Store
from hitherto.application.forgetting import forget
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.sqlite import SqliteStore


class TestInMemory(PersonalContract):
    @pytest.fixture
    def backend(self) -> MemoryStore:
        return MemoryStore()


class TestOnSqlite(PersonalContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(str(tmp_path / "store.db"))

    async def test_no_file_holds_the_key_or_a_snapshot(self, store: Store, tmp_path: Path) -> None:
        """Not the log beside the store either, which may stay for as long as somebody uses it."""
        await self._filled(store)
        (key,) = await store.backend.personal.keys(["ada"])
        await forget(store, "ada")
        assert key.key
        for file in tmp_path.iterdir():
            assert key.key not in (held := file.read_bytes()), file
            assert ADA.encode() not in held, file


@pytest.mark.integration
class TestOnPostgres(PersonalContract):
    @pytest.fixture
    def backend(self, postgres_url: str, postgres_schema: str) -> PostgresStore:
        return PostgresStore(postgres_url, schema=postgres_schema, max_connections=10)
