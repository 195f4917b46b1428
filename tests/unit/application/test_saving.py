"""From pending events to appends: each is sent as it was sent first."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hitherto import (
    AggregateVersionConflict,
    InvalidAggregateState,
    InvalidInput,
    Metadata,
    metadata_context,
)
from hitherto.application.saving import prepare, saving, settle
from hitherto.application.store import Store
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.repository_contract.domain import Account, Deposited, Opened, Person


@pytest.fixture
def store() -> Store:
    times = (datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 32))
    return Store(MemoryStore(), clock=lambda: next(times))


def test_an_append_follows_what_is_saved(store: Store) -> None:
    """It is the aggregate's id, type and version, with an envelope for each pending event."""
    account = Account.open("a-1")
    (append,) = prepare(store, [account], None)
    settle(store, account, append)
    account.deposit(1)
    account.deposit(2)
    (append,) = prepare(store, [account], None)
    assert (append.aggregate_id, append.aggregate_type) == ("a-1", "Account")
    assert (append.expected_version, len(append.events)) == (1, 2)
    assert [event.event_type for event in append.events] == ["money-deposited"] * 2


def test_an_event_is_sent_again_as_it_was(store: Store) -> None:
    """Under its id, with its first time and metadata; what is recorded later is its own."""
    account = Account.open("a-1")
    (first,) = prepare(store, [account], Metadata(actor="Ada"))
    account.deposit(1)
    (second,) = prepare(store, [account], Metadata(actor="Bob"))
    assert second.events[:1] == first.events
    assert second.events[1].event_id != first.events[0].event_id
    assert second.events[1].metadata == '{"actor":"Bob"}'


def test_what_could_not_be_encoded_is_not_sent_before(store: Store) -> None:
    """An event beside one that failed gets its envelope when it is first sent."""
    account = Account.open("a-1")
    unstorable: Any = Deposited
    account.record(unstorable(amount=1, note="a NUL: \0"))
    with pytest.raises(InvalidInput, match=r"^Deposited\.note contains a NUL character"):
        prepare(store, [account], None)
    assert [unsaved.envelope for unsaved in account._unsaved] == [None, None]


def test_metadata_is_one_text_for_all(store: Store) -> None:
    """That of the context, under what is given; none at all is none."""
    account, person = Account.open("a-1"), Person("p-1")
    person.register("Ada")
    with metadata_context(correlation_id="c", actor="context"):
        appends = prepare(store, [account, person], Metadata(actor="given"))
    texts = {event.metadata for append in appends for event in append.events}
    assert texts == {'{"correlation_id":"c","actor":"given"}'}
    (append,) = prepare(store, [Account.open("a-2")], None)
    assert append.events[0].metadata is None


def test_metadata_that_cannot_be_stored_are_told_as_such(store: Store) -> None:
    """Once, and as bad input."""
    for bad in ("\0", float("nan"), "x" * 1024 * 1024):
        with pytest.raises(InvalidInput) as caught:
            prepare(store, [Account.open("a-1")], Metadata(extra={"key": bad}))
        assert str(caught.value).startswith("the metadata cannot be stored: dict")
        assert str(caught.value).count("stored") == 1


def test_what_was_recorded_meanwhile_stays_pending(store: Store) -> None:
    """Only what was sent is counted as saved."""
    account = Account.open("a-1")
    (append,) = prepare(store, [account], None)
    account.deposit(1)
    assert settle(store, account, append) == [Opened(owner="Ada")]
    assert (account.version, len(account.pending)) == (1, 1)


def test_an_aggregate_is_held_while_it_is_saved() -> None:
    """Nobody else may save it then; afterwards it is free, however the saving ended."""
    account, other = Account.open("a-1"), Account.open("a-2")
    with pytest.raises(AggregateVersionConflict), saving([account]):
        for group in ([account], [other, account]):
            with pytest.raises(InvalidAggregateState, match="saved by another task"), saving(group):
                raise AssertionError
        assert account._saving
        assert not other._saving
        raise AggregateVersionConflict("a-1", 0, 1)
    with saving([account, other]):
        pass
