"""Personal fields in memory, on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest
from tests.contract.forgetting import PersonalContract

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


@pytest.mark.integration
class TestOnPostgres(PersonalContract):
    @pytest.fixture
    def backend(self, postgres_url: str, postgres_schema: str) -> PostgresStore:
        return PostgresStore(postgres_url, schema=postgres_schema, max_connections=10)
