"""`check_store`: a store against a plain model, through histories that hypothesis makes up."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hitherto.application.ports import Backend
from hitherto.application.records import Append, NewEvent, Snapshot, StoredEvent
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.testing.model import Fact, Model, Outcome
from hitherto.testing.store_contract.making import new_id, same_json, whole_log

T = TypeVar("T")
OpenBackend = Callable[[], AbstractAsyncContextManager[Backend]]

IDS = ["a", "b", "c", "A"]
TYPE_OF = {"a": "Thing", "b": "Thing", "c": "Other", "A": "Other"}
FINGERPRINTS = ["code-1", "code-2"]

_ids = st.sampled_from(IDS)
_versions = st.integers(1, 9)
_filters = st.none() | st.lists(st.sampled_from(["Thing", "Other", "None"]), max_size=2)
_event_filters = st.none() | st.lists(st.sampled_from(["Began", "ended"]), max_size=2)
_data = st.dictionaries(
    st.sampled_from(["x", "ü", "it's"]),
    st.integers() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5),
    max_size=2,
).map(_to_json := __import__("json").dumps)
