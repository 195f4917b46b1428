"""A store with archived aggregates, to whoever goes through all of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.forgetting import ADA, Name, Names, Person, PersonJoined

from hitherto import ProjectionWorker, Repository, connect
from hitherto.application.archiving import archive
from hitherto.application.forgetting import forget
from hitherto.application.moving import export_log, import_file, writing
from hitherto.application.replaying import replay
from hitherto.application.verifying import verify
from hitherto.infrastructure.sqlite.branching import branch


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
async def people(request: Any, tmp_path: Path) -> AsyncIterator[Repository[Person]]:
    """Ada, who is archived, with a snapshot in the middle, and Bob; in hash chains."""
    url, schema = f"sqlite:///{tmp_path / 'store.db'}", None
    if request.param == "postgres":
        url, schema = map(request.getfixturevalue, ("postgres_url", "postgres_schema"))
    async with connect(url, schema=schema, hash_chain=True) as store:
        people = Repository(store, Person, snapshot_every=3)
        for who in ("ada", "bob"):
            for number in range(1, 5):
                person = Person(who) if number == 1 else await people.load(who)
                person.record(PersonJoined(name=f"{ADA} {who} {number}"))
                await people.save(person)
        await ProjectionWorker(store, Names()).catch_up()
        await archive(people, ids=["ada"])
        yield people


async def test_it_is_sound_and_rebuilt_as_it_was(people: Repository[Person]) -> None:
    """Chains, snapshots and views are what the events say, archived or not."""
    store = people.store
    found = await verify(store, [Person])
    assert (found.sound, found.events, found.snapshots, found.chained) == (True, 8, 2, 8)
    again = await replay(people)
    assert (again.aggregates, again.equal, again.wrong) == (2, 2, 0)
    await ProjectionWorker(store, Names(), rebuild=True).catch_up()
    assert await store.documents(Names).get("ada") == Name(name=f"{ADA} ada 4")
    assert [(await people.load("ada", version)).name[-1] for version in (1, 2, 3, 4)] == [*"1234"]


async def test_copies_have_what_is_archived(people: Repository[Person], tmp_path: Path) -> None:
    """In its order, and without a personal value."""
    store = people.store
    log = (await store.sealed.read_all()).events
    await branch(store.sealed, tmp_path / "branch.db")
    with writing(tmp_path / "log.jsonl") as write:
        await export_log(store.sealed, write)
    async with connect(f"sqlite:///{tmp_path / 'imported.db'}") as imported:
        await import_file(imported, tmp_path / "log.jsonl")
    for copy in ("branch", "imported"):
        async with connect(f"sqlite:///{tmp_path / copy}.db") as copied:
            events = (await copied.sealed.read_all()).events
            assert [each.event_id for each in events] == [each.event_id for each in log]
            ada = await Repository(copied, Person, snapshot_every=None).load("ada")
            assert (ada.version, ada.name) == (4, "[redacted]")
    for file in ("branch.db", "log.jsonl", "imported.db"):
        assert ADA.encode() not in (tmp_path / file).read_bytes()


async def test_who_is_archived_can_be_forgotten(people: Repository[Person]) -> None:
    """At no version is anything left; chains stay whole; restored events stay redacted."""
    store = people.store
    rebuild = ProjectionWorker(store, Names(), rebuild=True).catch_up
    found = await forget(store, "ada", rebuild=rebuild)
    assert (found.keys, found.events, found.left) == (1, 4, ())
    await store.backend.archive.restore(["ada"])
    for version in (1, 2, 3, 4):
        assert (await people.load("ada", version)).name == "[redacted]"
    assert (await people.load("bob")).name == f"{ADA} bob 4"
    assert (await verify(store, [Person])).sound
