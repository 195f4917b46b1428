"""Snapshots of one kind of aggregate: when to take one, and which to trust."""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import msgspec

from hitherto.application.fingerprint import fingerprint, state_struct
from hitherto.application.health import Health, worse_by
from hitherto.application.logging import log_event
from hitherto.application.records import Snapshot, Stream
from hitherto.application.store import Store
from hitherto.application.validation import alike, first_difference
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.definition import Definition
from hitherto.errors import EventSerializationFailed, SnapshotNotSupported

A = TypeVar("A", bound=Aggregate[Any])

SnapshotPolicy = Callable[[A, Sequence[Any]], bool]
"""Told the aggregate and the events just saved; true means: take a snapshot now."""


_PATIENCE = 2.0  # seconds


def every(events: int) -> SnapshotPolicy[Any]:
    """The policy that takes a snapshot when so many events follow the last one."""
    return lambda aggregate, _: aggregate.version - aggregate._snapshot_version >= events


class Snapshots(Generic[A]):
    """Takes and restores the snapshots of one kind of aggregate.

    A snapshot bears the fingerprint of the code that made it. Code with another fingerprint folds
    the events anew, so a snapshot can cost time but never truth.

    Args:
        store: Where they are kept.
        definition: Which kind of aggregate.
        due: When to take one; None: only by hand.

    Attributes:
        fingerprint: Names the code that makes these snapshots; None where it can't make any.
        unsupported: Why it can't.
    """

    def __init__(self, store: Store, definition: Definition, due: SnapshotPolicy[A] | None) -> None:
        self._store = store
        self._definition = definition
        self._due = due
        self._wanted = due is not None
        self.fingerprint: str | None = None
        self.unsupported: str | None = None
        try:
            self._struct = state_struct(definition)
            self._decode = store.codec.decoder(self._struct)
            self.fingerprint = fingerprint(definition)
        except (TypeError, NameError) as error:
            owner = definition.owner.__qualname__
            self.unsupported = f"the state of {owner} cannot be encoded: {error}"

    def on(self, store: Store) -> Self:
        """The same for another store of this kind."""
        other = copy.copy(self)
        other._store = store
        return other

    def judge(self, store: Health) -> Health:
        """The health of a store to those who want these snapshots."""
        if not self._wanted or self.unsupported is None:
            return store
        name = self._definition.aggregate_type
        problem = f"no snapshot of {name} is taken, so loads get slower: {self.unsupported}"
        return worse_by(store, [problem])

    def restore(self, aggregate: A, stream: Stream) -> str | None:
        """Take on the stream's snapshot; if it cannot be trusted, say why instead."""
        snapshot = stream.snapshot
        if snapshot is None:
            return None if stream.unusable is None else "another version of the code made it"
        if snapshot.aggregate_type != self._definition.aggregate_type:
            return "it is of another type of aggregate"
        if not stream.events or stream.events[0][0] != snapshot.version:
            return "no event bears it out"
        try:
            state = self._decode(snapshot.data)
        except (ValueError, TypeError, RecursionError) as error:
            return f"it cannot be decoded: {error}"
        aggregate._restore(snapshot.version, _set_fields(state))
        return None

    async def after_save(self, aggregate: A, events: Sequence[Any]) -> None:
        """Take a snapshot if it is due; a failure is no failure of the save."""
        try:
            if self._due is not None and self._due(aggregate, events):
                await self._take_soon(aggregate)
        except Exception as error:  # noqa: BLE001
            self._failed(aggregate.id, error)

    def passed_over(self, aggregate_id: str, version: int, problem: str) -> None:
        """Tell of a stored snapshot that was found unusable."""
        self._log("snapshot_unusable", aggregate_id, version=version, reason=problem)
        self._store.instrumentation.snapshot_unusable(self._definition.aggregate_type)

    async def replace(self, aggregate: A, version: int) -> None:
        """Put a new snapshot in the place of the stored one of `version`; a failure is told."""
        if self._due is None or not aggregate.version:
            return
        try:
            await self._take_soon(aggregate, replacing=version)
        except Exception as error:  # noqa: BLE001
            self._failed(aggregate.id, error)

    async def _take_soon(self, aggregate: A, *, replacing: int | None = None) -> None:
        """Nobody has asked for it, so nobody is to wait for it as long as for a save."""
        async with self._store.patience(_PATIENCE):
            await self.take(aggregate, replacing=replacing)

    async def take(self, aggregate: A, *, replacing: int | None = None) -> bool:
        """Take a snapshot now; tells whether it is kept.

        Raises:
            SnapshotNotSupported: The state would not come back as it is.
            InvalidAggregateState: It is no fold of events, since `apply` has raised.
        """
        hooks = self._store.instrumentation
        with hooks.operation("snapshot", self._definition.aggregate_type, aggregate.id):
            snapshot = self._snapshot_of(aggregate)
            kept = await self._store.backend.save_snapshot(snapshot, replacing=replacing)
        aggregate._snapshot_version = snapshot.version
        if kept:
            hooks.snapshot_created(self._definition.aggregate_type)
        return kept

    def difference(self, snapshot: Snapshot, aggregate: A) -> str | None:
        """The first field that a snapshot has otherwise than the aggregate at its version has it.

        Raises:
            SnapshotNotSupported: The aggregate's state would not come back as it is.
            ValueError, TypeError, RecursionError: The snapshot cannot be decoded.
        """
        found = self._decode(snapshot.data)
        true = self._decode(self._snapshot_of(aggregate).data)
        return None if found == true else first_difference(true, found)

    def _snapshot_of(self, aggregate: A) -> Snapshot:
        if self.fingerprint is None:
            raise SnapshotNotSupported(self.unsupported)
        aggregate._check_whole()
        name = self._definition.aggregate_type
        if undeclared := aggregate._undeclared():
            raise SnapshotNotSupported(
                f"the state of {name} would come back without {undeclared[0]!r}, which is no "
                "field: annotate it in the body of the class"
            )
        state = self._struct(**aggregate._capture())
        try:
            data = self._store.codec.encode(state)
            restored = self._decode(data)
        except (EventSerializationFailed, ValueError, TypeError, RecursionError) as error:
            raise SnapshotNotSupported(f"the state of {name} cannot be encoded: {error}") from error
        if not alike(state, restored):
            raise SnapshotNotSupported(
                f"the state of {name} would come back changed, its field "
                f"{first_difference(state, restored)}: annotate it with its exact type"
            )
        return Snapshot(
            aggregate_id=aggregate.id,
            aggregate_type=name,
            version=aggregate.version,
            fingerprint=self.fingerprint,
            data=data,
        )

    def _failed(self, aggregate_id: str, error: Exception) -> None:
        self._log("snapshot_failed", aggregate_id, reason=str(error) or repr(error))
        self._store.instrumentation.snapshot_failed(self._definition.aggregate_type)
        if isinstance(error, SnapshotNotSupported):
            self._due = None  # Said once; trying it after each save would only cost.
            self.unsupported = str(error)

    def _log(self, event: str, aggregate_id: str, **values: object) -> None:
        log_event(
            self._store.logger,
            logging.WARNING,
            event,
            aggregate_type=self._definition.aggregate_type,
            aggregate_id=aggregate_id,
            **values,
        )


def _set_fields(state: msgspec.Struct) -> Mapping[str, Any]:
    values = ((name, getattr(state, name)) for name in state.__struct_fields__)
    return {name: value for name, value in values if value is not msgspec.UNSET}
