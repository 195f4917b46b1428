"""Erasures on PostgreSQL: who may, and what the tables themselves refuse."""

import json
from typing import Any

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append
from tests.acceptance.test_postgres_role_script import Made, made

from hitherto.application.ports.erasures import Erasure
from hitherto.errors import SchemaMismatch
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration

__all__ = ["made"]

TOLD = """INSERT INTO {schema}.event_erasures (
        event_id, aggregate_id, event_version, event_data, fields, reason, erased_by)
    SELECT event_id, aggregate_id, event_version, '{{}}', '{{}}', 'none', 'nobody'
    FROM {schema}.event_store"""


async def erased(store: PostgresStore) -> bool:
    (event, *_) = await store.read("a")
    erasure = Erasure(
        event.event_id, "a", 1, '{"gone": true}', None, ("number",), "the law", "a clerk"
    )
    return await store.erasures.erase(event, erasure)


async def test_the_owner_erases_and_whom_it_grants_that(made: Made) -> None:
    """The account bears the role's name; the writer and the reader may read it."""
    async with opened(made.login("writer"), made.schema) as store:
        await store.append([an_append("a", count=2)])
        with pytest.raises(SchemaMismatch, match="permission denied for function erase_event"):
            await erased(store)
    async with opened(made.login("owner"), made.schema) as store:
        assert await erased(store)
    async with opened(made.login("reader"), made.schema) as store:
        (told,) = await store.erasures.erasures()
        assert told.erased_by == f"a clerk ({made.schema}_owner_login)"
        assert json.loads((await store.read("a"))[0].data) == {"gone": True}


@pytest.mark.parametrize(
    "change",
    [
        "event_data = '{{\"gone\": false}}'",
        "event_data = '{{}}', event_type = 'Other'",
        "event_data = '{{}}', occurred_at = now()",
        "event_data = '{{}}', metadata = '{{}}'",
        "event_data = '{{}}', event_version = 7",
    ],
)
async def test_whatever_no_erasure_tells_is_refused(
    postgres_url: str, postgres_schema: str, change: str
) -> None:
    """Whoever asks, the superuser here, and though a row of the account stands there by hand."""
    async with opened(postgres_url, postgres_schema) as store:
        await store.append([an_append("a")])
        before = await store.read("a")
        admin: Any = await asyncpg.connect(postgres_url)
        try:
            for told in (False, True):
                if told:
                    await admin.execute(TOLD.format(schema=postgres_schema))
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
                    await admin.execute(
                        f"UPDATE {postgres_schema}.event_store SET {change.format()}"
                    )
            for statement in ("DELETE FROM {}", "UPDATE {} SET reason = ''", "TRUNCATE {}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
                    await admin.execute(statement.format(f"{postgres_schema}.event_erasures"))
        finally:
            await admin.close()
        assert await store.read("a") == before
