"""Pages that tell a story print what they show, with a store as it is in the story."""

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.acceptance.callers import connected
from tests.acceptance.docs_blocks import ROOT, blocks_of
from tests.acceptance.docs_listener import Listener, Meanwhile
from tests.acceptance.docs_shell import STORIES, TRIED_OUT, check_same, exchanges
from tests.acceptance.docs_stories import (
    a_changed_file,
    a_parcel,
    a_person,
    a_shop,
    accounts_that_are_viewed,
    an_order_with_a_note,
    fines_in_chains,
    orders_of_two_schemas,
    orders_of_years,
    two_versions,
    users_in_a_table,
)
from tests.acceptance.postgres_stores import with_database

from hitherto import ProjectionWorker, Repository, Store

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("page", "url", "story"),
    [
        ("erase-a-payload", "sqlite:///shop.db", an_order_with_a_note),
        ("archive-closed-aggregates", "sqlite:///shop.db", orders_of_years),
        ("forget-a-person", "sqlite:///shop.db", a_person),
        ("check-events-before-a-release", "sqlite:///shop.db", orders_of_two_schemas),
        ("run-projections", "sqlite:///shop.db", accounts_that_are_viewed),
        ("compare-two-versions-of-the-code", "sqlite:///fines.db", two_versions),
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


@pytest.mark.parametrize(
    ("page", "begin", "story"),
    [
        ("look-into-a-store", "hitherto why", a_parcel),
        ("move-a-store", "hitherto import changed.jsonl", a_changed_file),
    ],
)
def test_a_command_with_a_store_of_its_own_prints_what_the_page_shows(
    page: str,
    begin: str,
    story: Callable[[Listener], str | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest of these pages is of the demo's store, see test_docs_followed.py."""
    reader = Listener(tmp_path, monkeypatch, "sqlite:///shop.db")
    event_id = story(reader)
    ((block, command, expected),) = (
        (block, command, expected)
        for block in blocks_of(ROOT / f"docs/how-to/{page}.md")
        if block.language == "console"
        for command, expected in exchanges(block)
        if command.startswith(begin)
    )
    asked = re.sub(r"[0-9a-f-]{36}", event_id, command) if event_id else command
    check_same(block, command, expected, reader.run(asked))


@pytest.fixture
def database(postgres_url: str, postgres_schema: str) -> Iterator[str]:
    """One of its own, for what is in the schema `public`."""
    if shutil.which("psql") is None:
        pytest.skip("some pages use psql: apt install postgresql-client")

    async def do(statement: str) -> None:
        async with connected(postgres_url) as connection:
            await connection.execute(statement)

    asyncio.run(do(f"CREATE DATABASE {postgres_schema}"))
    yield with_database(postgres_url, postgres_schema)
    asyncio.run(do(f"DROP DATABASE {postgres_schema} WITH (FORCE)"))


def test_who_moves_from_crud_sees_what_the_page_shows(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What programs write and what new code writes is in step in between."""
    reader = Listener(tmp_path, monkeypatch, database)
    page = ROOT / "docs/how-to/move-from-crud.md"
    reader.tell(page, users_in_a_table(reader, page))


def test_a_view_on_postgresql_is_filled_rebuilt_and_read_as_the_page_shows(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a service, from a pool of its own."""
    reader = Listener(tmp_path, monkeypatch, database)
    page = ROOT / "docs/how-to/run-projections.md"
    code = [each.code for each in blocks_of(page) if each.language == "python"]
    shop = reader.write("shop.views", "\n".join(each for each in code if "shop.db" not in each))

    async def work(store: Store) -> None:
        accounts = Repository(store, shop.Account)
        account = shop.Account("account-1")
        account.deposit(50)
        account.record(shop.Withdrawn(amount=8))
        await accounts.save(account)
        for rebuild in (False, True):
            view = shop.BalancesOnPostgres()
            await ProjectionWorker(store, view, rebuild=rebuild).catch_up()

    reader.fill(work)
    with TestClient(shop.app) as client:
        assert client.get("/balances").json() == {"account-1": 42}


def test_commands_whose_output_is_not_shown_end_well(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a store in PostgreSQL, as these pages have it."""
    reader = Listener(tmp_path, monkeypatch, database)
    a_shop(reader)
    for page in TRIED_OUT:
        reader.try_out(page, {"postgresql://localhost/shop": database})
