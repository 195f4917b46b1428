"""A role with few rights: what it needs, and what it is told when something is missing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.acceptance.postgres_stores import opened, use_everything, use_projections
from tests.acceptance.postgres_writers import writers
from tests.servers import new_schema

from hitherto import SchemaMismatch
from hitherto.application.health import Health
from hitherto.infrastructure.postgres import health as module
from hitherto.infrastructure.postgres.schema import latest_version

pytestmark = pytest.mark.integration

_PAGE = Path(__file__).parents[2] / "docs/how-to/run-on-postgresql.md"
GRANTS = [line for line in _PAGE.read_text().splitlines() if line.startswith("GRANT ")]


class LimitedRole:
    """A role without rights of its own."""

    def __init__(self, admin: Any, url: str, name: str) -> None:
        self.admin = admin
        self.name = name
        parts = urlsplit(url)
        netloc = f"{name}:secret@{parts.netloc.rpartition('@')[2]}"
        self.url = urlunsplit(parts._replace(netloc=netloc))

    async def grant(self, schema: str, *, without: str | None = None) -> None:
        """What the how-to grants."""
        for grant in GRANTS:
            if grant != without:
                await self.admin.execute(grant.replace("orders", schema).replace("app", self.name))


@pytest.fixture
async def role(admin: Any, postgres_url: str) -> AsyncIterator[LimitedRole]:
    """A role without any DDL rights."""
    name = new_schema() + "_role"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    yield LimitedRole(admin, postgres_url, name)
    await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_role_with_the_documented_grants_can_use_the_store(
    role: LimitedRole, postgres_url: str, postgres_schema: str
) -> None:
    """No right to make tables is needed where they are up to date."""
    async with opened(postgres_url, postgres_schema):
        await role.grant(postgres_schema)
    async with opened(role.url, postgres_schema) as store:
        await use_everything(store)
        await use_projections(store)


@pytest.mark.parametrize("left_out", GRANTS)
async def test_no_documented_grant_is_superfluous(
    left_out: str, role: LimitedRole, postgres_url: str, postgres_schema: str
) -> None:
    """Without any one of them something is refused, and the error says what to do."""
    async with opened(postgres_url, postgres_schema):
        await role.grant(postgres_schema, without=left_out)
    with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
        async with opened(role.url, postgres_schema) as store:
            await use_everything(store)
            await use_projections(store)


async def test_a_missing_schema_is_told_with_the_remedy(
    role: LimitedRole, postgres_schema: str
) -> None:
    """A role without DDL rights cannot make it."""
    with pytest.raises(SchemaMismatch, match=r"permission denied .* `hitherto schema`"):
        async with opened(role.url, postgres_schema):
            pass


async def test_tables_older_than_the_code_are_told_with_the_remedy(
    role: LimitedRole, postgres_url: str, postgres_schema: str
) -> None:
    """A role without DDL rights cannot migrate them, and changes nothing."""
    async with opened(postgres_url, postgres_schema):
        await role.grant(postgres_schema)
    table = f"{postgres_schema}.hitherto_migrations"
    await role.admin.execute(f"DELETE FROM {table} WHERE version = {latest_version()}")
    with pytest.raises(SchemaMismatch, match=r"permission denied .* `hitherto schema`"):
        async with opened(role.url, postgres_schema):
            pass
    found = await role.admin.fetchval(f"SELECT max(version) FROM {table}")
    assert found == latest_version() - 1


async def test_who_holds_the_readers_back_is_named_though_its_age_is_hidden(
    role: LimitedRole, postgres_url: str, postgres_schema: str
) -> None:
    """Another role's transaction; with the right that the how-to names, its age is told too."""
    async with opened(postgres_url, postgres_schema):
        await role.grant(postgres_schema)
    async with (
        opened(role.url, postgres_schema) as store,
        writers(postgres_url, postgres_schema, 1) as (holder,),
    ):
        process = await holder.session.fetchval("SELECT pg_backend_pid()")
        await holder("BEGIN")
        await holder.append("a")
        (problem,) = _of_readers(await store.health_check())
        assert f"process {process} " in problem
        assert "an unknown time" in problem
        assert "pg_read_all_stats" in problem
        assert "GRANT pg_read_all_stats TO app" in _PAGE.read_text()
        await role.admin.execute(f"GRANT pg_read_all_stats TO {role.name}")
        assert _of_readers(await store.health_check()) == []
        await holder("ROLLBACK")


async def test_an_age_that_is_known_goes_before_one_that_is_hidden(
    role: LimitedRole,
    postgres_url: str,
    postgres_schema: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two that hold the readers back, the one that is known to have done so for too long."""
    async with opened(postgres_url, postgres_schema):
        await role.grant(postgres_schema)
    async with (
        opened(role.url, postgres_schema) as store,
        writers(role.url, postgres_schema, 1) as (own,),
        writers(postgres_url, postgres_schema, 1) as (hidden,),
    ):
        processes = [
            await each.session.fetchval("SELECT pg_backend_pid()") for each in (own, hidden)
        ]
        for each in (own, hidden):
            await each("BEGIN")
            await each.append(each.session.get_settings().session_authorization)
        monkeypatch.setattr(module, "_HELD_TOO_LONG", 60.0)
        (young,) = _of_readers(await store.health_check())
        monkeypatch.setattr(module, "_HELD_TOO_LONG", 0.0)
        (old,) = _of_readers(await store.health_check())
        assert f"process {processes[1]} " in young
        assert f"process {processes[0]} " in old
        assert "unknown" not in old
        for each in (own, hidden):
            await each("ROLLBACK")


def _of_readers(health: Health) -> list[str]:
    return [problem for problem in health.problems if "readers of the log" in problem]
