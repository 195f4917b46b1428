"""The project's store: opened when it is used, closed when its loop ends, renewed for tests."""

import asyncio
import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings
from examples.fastapi_service.accounts import Account
from tests.contract.forgetting import ADA, Person, PersonJoined
from tests.unit.django.project import accounts
from tests.unit.django.views import Counted

import hitherto
from hitherto.django import aget_store, arepository, get_store
from hitherto.sync import AggregateNotFound, EventStoreUnavailable, Repository


def test_a_test_has_a_store_of_its_own() -> None:
    """The repositories that modules made where they began go to the settings of now."""
    for _ in range(2):
        with override_settings(HITHERTO={"URL": "memory:"}):
            accounts.save(Account.open("ann", "Ann"))
            assert accounts.load("ann").owner == "Ann"
    with pytest.raises(AggregateNotFound):
        accounts.load("ann")
    assert accounts.store is get_store()


def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """At its next use; that a module is imported needs no database."""
    path = tmp_path / "later" / "events.db"

    async def use() -> str:
        with pytest.raises(EventStoreUnavailable):
            await _load("ann")
        path.parent.mkdir()
        await asyncio.to_thread(accounts.save, Account.open("ann", "Ann"))
        return await _load("ann")

    with override_settings(HITHERTO={"URL": f"sqlite:///{path}"}):
        with pytest.raises(EventStoreUnavailable):
            accounts.load("ann")
        assert asyncio.run(use()) == "Ann"


def test_an_async_store_is_one_for_a_loop_and_ends_with_it(tmp_path: Path) -> None:
    """Whoever asks first opens it for all, even if that one gives up."""

    async def use() -> hitherto.Store:
        first, second, third = (asyncio.create_task(aget_store()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is await third is await aget_store()
        assert await _load("ann") == "Ann"
        return await second

    with override_settings(HITHERTO={"URL": f"sqlite:///{tmp_path / 'events.db'}"}):
        accounts.save(Account.open("ann", "Ann"))
        one, other = asyncio.run(use()), asyncio.run(use())
        assert one is not other
        for store in (one, other):
            with pytest.raises(EventStoreUnavailable, match="closed"):
                asyncio.run(store.watermark())


def test_a_loop_that_is_given_other_settings_has_another_store(tmp_path: Path) -> None:
    """As a test does; both end with it."""
    get_accounts = arepository(Account)

    async def use() -> list[hitherto.Store]:
        used: list[hitherto.Store] = []
        for name in ("first", "second"):
            with override_settings(HITHERTO={"URL": f"sqlite:///{tmp_path / name}.db"}):
                found = await get_accounts()
                await found.save(Account.open("ann", "Ann"))
                assert await get_accounts() is found
            used.append(found.store)
        return used

    for store in asyncio.run(use()):
        with pytest.raises(EventStoreUnavailable, match="closed"):
            asyncio.run(store.watermark())


def test_the_command_line_has_the_projects_store(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its words and options go on as they are; its exit status comes back."""
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with override_settings(HITHERTO={"URL": url}):
        accounts.save(Account.open("ann", "Ann"))
        call_command("hitherto", "health", "--json")
        assert json.loads(capfd.readouterr().out)["store"] == url
        with pytest.raises(SystemExit) as caught:
            call_command("hitherto", "show", "nobody")
        assert caught.value.code == 1
        call_command("hitherto")
        assert "Event sourcing for Python" in capfd.readouterr().out


def test_the_command_line_has_the_projects_schema(
    capfd: pytest.CaptureFixture[str], postgres_url: str, postgres_schema: str
) -> None:
    """And what else it takes from the environment, which is then as it was."""
    with override_settings(HITHERTO={"URL": postgres_url, "SCHEMA": postgres_schema}):
        accounts.save(Account.open("ann", "Ann"))
        call_command("hitherto", "log", "--json")
        assert json.loads(capfd.readouterr().out)["aggregate_id"] == "ann"
        with pytest.raises(SystemExit):
            call_command("hitherto", "health", "--schema", "elsewhere")


def test_the_command_line_has_the_projects_codec_and_keys(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else what a worker writes would be redacted for everybody."""
    url, codec = f"sqlite:///{tmp_path / 'events.db'}", Counted()
    settings = {"URL": url, "KEYS": "tests.unit.django.views.Vault", "CODEC": codec}
    with override_settings(HITHERTO=settings):
        person = Person("ada")
        person.record(PersonJoined(name=ADA))
        Repository(get_store(), Person).save(person)
        words = ("--aggregates", "tests.contract.forgetting:Person", "--json")
        codec.made = 0
        call_command("hitherto", "show", "ada", *words)
    assert ADA in capfd.readouterr().out
    assert codec.made


async def _load(name: str) -> str:
    return (await hitherto.Repository(await aget_store(), Account).load(name)).owner
