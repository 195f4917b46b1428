"""Pages that tell a story print what they show, with a store as it is in the story."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.callers import connected
from tests.acceptance.docs_blocks import ROOT
from tests.acceptance.docs_shell import STORIES
from tests.acceptance.docs_stories import (
    Listener,
    Meanwhile,
    a_person,
    accounts_that_are_viewed,
    an_order_with_a_note,
    fines_in_chains,
    orders_of_two_schemas,
    orders_of_years,
    users_in_a_table,
)
from tests.acceptance.postgres_stores import with_database

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("page", "url", "story"),
    [
        ("erase-a-payload", "sqlite:///shop.db", an_order_with_a_note),
        ("archive-closed-aggregates", "sqlite:///shop.db", orders_of_years),
        ("forget-a-person", "sqlite:///shop.db", a_person),
        ("check-events-before-a-release", "sqlite:///shop.db", orders_of_two_schemas),
        ("run-projections", "sqlite:///shop.db", accounts_that_are_viewed),
        ("detect-tampering", "sqlite:///fines.db", fines_in_chains),
    ],
)
def test_who_has_the_store_of_a_page_sees_what_it_shows(
    page: str,
    url: str,
    story: Callable[[Listener, Path], Meanwhile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its commands are run one after the other, and what happens between them happens."""
    path = ROOT / f"docs/how-to/{page}.md"
    assert path in STORIES
    reader = Listener(tmp_path, monkeypatch, url)
    reader.tell(path, story(reader, path))


def test_who_moves_from_crud_sees_what_the_page_shows(
    postgres_url: str, postgres_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a database of its own, for the table is in the schema `public`."""
    if shutil.which("psql") is None:
        pytest.skip("the page asks by psql: apt install postgresql-client")

    async def do(statement: str) -> None:
        async with connected(postgres_url) as connection:
            await connection.execute(statement)

    asyncio.run(do(f"CREATE DATABASE {postgres_schema}"))
    reader = Listener(tmp_path, monkeypatch, with_database(postgres_url, postgres_schema))
    page = ROOT / "docs/how-to/move-from-crud.md"
    reader.tell(page, users_in_a_table(reader, page))
    asyncio.run(do(f"DROP DATABASE {postgres_schema}"))
