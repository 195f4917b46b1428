"""Fixtures that more than one folder of tests needs."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from tests.servers import SCHEMA_PREFIX, debian_bin_dir, new_schema, start_cluster


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: TEST_DATABASE_URL's, else one of the wheel's for each test process."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        asyncio.run(_drop_schemas(given))
        return
    cluster = start_cluster()
    yield cluster.url()
    cluster.stop()


@pytest.fixture(scope="session")
def debian_postgres_url() -> Iterator[str]:
    """Debian's PostgreSQL, where its binaries are found."""
    bin_dir = debian_bin_dir()
    if bin_dir is None:
        pytest.skip("no PostgreSQL below /usr/lib/postgresql nor on PATH: apt install postgresql")
    cluster = start_cluster(bin_dir)
    yield cluster.url()
    cluster.stop()


@pytest.fixture
def postgres_schema() -> str:
    """The name of a schema that does not exist yet."""
    return new_schema()


async def _drop_schemas(url: str) -> None:
    """Leave somebody else's server as it was found."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        drops = await connection.fetch(
            "SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace "
            "WHERE nspname LIKE $1",
            f"{SCHEMA_PREFIX}\\_%",
        )
        for (drop,) in drops:
            await connection.execute(drop)
    finally:
        await connection.close()
