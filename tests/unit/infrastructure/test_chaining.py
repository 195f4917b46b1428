"""Which stores put what they append in hash chains, and what is hashed of it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from tests.unit.domain.account import Account, Opened

from hitherto import ConfigurationError, EventSerializationFailed, Repository, Settings, connect
from hitherto.application.chain.links import content_hash, event_hash
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.store_contract.making import append_to, new_event, placed

VARIABLE = "EVENT_STORE_HASH_CHAIN"


async def chained(**options: Any) -> bool:
    """Whether what a repository saves in such a store has a hash."""
    async with connect("memory:", **options) as store:
        account = Account("a")
        account.record(Opened(owner="ann"))
        await Repository(store, Account).save(account)
        return await store.backend.chain.first() is not None


async def test_chains_are_made_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the argument, or by the environment, before which the argument goes."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not await chained()
    assert await chained(hash_chain=True)
    monkeypatch.setenv(VARIABLE, "true")
    assert await chained()
    assert not await chained(hash_chain=False)


@pytest.mark.parametrize(
    ("text", "meant"), [("true", True), ("1", True), ("False", False), ("0", False), ("", False)]
)
def test_the_variable_is_true_or_false(text: str, meant: bool) -> None:
    """An empty one is as good as none."""
    assert Settings.from_environment({VARIABLE: text}).hash_chain is meant


@pytest.mark.parametrize("text", ["yes", "2", "on"])
def test_another_word_is_refused(text: str) -> None:
    """The message names the variable, and what is good."""
    with pytest.raises(ConfigurationError, match=f"{VARIABLE}='{text}': give true or false"):
        Settings.from_environment({VARIABLE: text})


def test_the_hash_of_a_content_can_be_computed_by_others() -> None:
    """By the rule that the documentation tells; it stays what it is, or all chains break."""
    event = new_event(
        '{"b": 1.50, "a": "é"}',
        type="Opened",
        schema=2,
        metadata=None,
        occurred_at=datetime(2024, 3, 1, 14, 30, tzinfo=timezone(timedelta(hours=2))),
        event_id=UUID(int=7),
    )
    told = (
        '{"aggregate_id":"a-1","aggregate_type":"Account","data":{"a":"é","b":1.50},'
        '"event_id":"00000000-0000-0000-0000-000000000007","event_type":"Opened",'
        '"metadata":null,"occurred_at":"2024-03-01T12:30:00.000000+00:00",'
        '"schema_version":2,"version":3}'
    )
    assert content_hash(event, "a-1", "Account", 3) == sha256(told.encode()).digest()


def test_the_hash_of_an_event_can_be_computed_by_others() -> None:
    """As above."""
    stored_at = datetime(2000, 1, 1, 0, 0, 1, 2, UTC)
    place = (5).to_bytes(8) + (1_000_002).to_bytes(8)
    previous, content = b"p" * 32, b"c" * 32
    assert event_hash(None, content, 5, stored_at) == sha256(content + place).digest()
    assert (
        event_hash(previous, content, 5, stored_at) == sha256(previous + content + place).digest()
    )


@pytest.mark.parametrize("damage", [{"data": "{"}, {"metadata": "{"}, {"data": '"\\ud800"'}])
async def test_what_has_no_canonical_form_is_refused(damage: dict[str, str]) -> None:
    """Before anything is stored."""
    store = Chained(MemoryStore())
    event = new_event(damage.get("data", "{}"), metadata=damage.get("metadata"))
    with pytest.raises(EventSerializationFailed, match="version 2 of 'a'"):
        await store.append([append_to("b"), append_to("a", [new_event(), event])])
    assert await store.watermark() == 0


async def test_many_events_are_hashed_as_few_are() -> None:
    """On another thread."""
    one, other = MemoryStore(), MemoryStore()
    append = append_to("a", 250)
    await Chained(one).append([append])
    for number, event in enumerate(append.events):
        await Chained(other).append([append_to("a", [event], after=number)])
    assert [link.content_hash for link in await one.chain.links()] == [
        link.content_hash for link in await other.chain.links()
    ]


async def test_nothing_of_an_event_is_changed_but_its_hash() -> None:
    """Nor of a history's."""
    plain, store = MemoryStore(), MemoryStore()
    append, told = append_to("a", 2), [placed("b", 1), placed("b", 2)]
    for each in (plain, Chained(store)):
        await each.append([append])
        await each.import_events(told)
    for one, other in zip(
        (await plain.read_all()).events, (await store.read_all()).events, strict=True
    ):
        assert json.loads(one.data) == json.loads(other.data)
        assert (one.event_id, one.occurred_at) == (other.event_id, other.occurred_at)
