"""Snapshots of one kind of aggregate: when to take one, and which to trust."""

import hashlib
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from hitherto.application.ports import Codec
from hitherto.application.records import Snapshot, Stream
from hitherto.application.validation import first_difference
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.definition import Definition
from hitherto.errors import EventSerializationFailed, SnapshotNotSupported

A = TypeVar("A", bound=Aggregate[Any])

SnapshotPolicy = Callable[[A, Sequence[Any]], bool]
"""Told the aggregate and the events just saved; true means: take a snapshot now."""


class Snapshots(Generic[A]):
    """Takes and restores the snapshots of one kind of aggregate.

    A snapshot bears a fingerprint of all that it depends on: the types of the state's fields,
    the events' fields, and the source of the fold. Code with another fingerprint folds the
    events anew, so a snapshot can cost time but never truth.

    Attributes:
        fingerprint: Names the code that makes these snapshots; None where it can't make any.
        unsupported: Why it can't.
    """

    def __init__(self, definition: Definition, codec: Codec) -> None:
        self._definition = definition
        self._codec = codec
        self.fingerprint: str | None = None
        self.unsupported: str | None = None
        try:
            self._struct = _state_struct(definition)
            self._decode = codec.decoder(self._struct)
            self.fingerprint = _fingerprint(definition)
        except (TypeError, NameError) as error:
            owner = definition.owner.__qualname__
            self.unsupported = f"the state of {owner} cannot be encoded: {error}"

    def take(self, aggregate: A) -> Snapshot:
        """The aggregate's state, encoded.

        Raises:
            SnapshotNotSupported: The state would not come back as it is.
        """
        if self.unsupported is not None or self.fingerprint is None:
            raise SnapshotNotSupported(self.unsupported)
        state = self._struct(**aggregate._capture())
        name = self._definition.aggregate_type
        try:
            data = self._codec.encode(state)
            restored = self._decode(data)
        except (EventSerializationFailed, ValueError, TypeError, RecursionError) as error:
            raise SnapshotNotSupported(f"the state of {name} cannot be encoded: {error}") from error
        if restored != state:
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

    def restore(self, aggregate: A, stream: Stream) -> str | None:
        """Take on the stream's snapshot; if it cannot be trusted, say why instead."""
        snapshot = stream.snapshot
        if snapshot is None:
            return None
        if not stream.events or stream.events[0][0] != snapshot.version:
            return "no event bears it out"
        try:
            state = self._decode(snapshot.data)
        except (ValueError, TypeError, RecursionError) as error:
            return f"it cannot be decoded: {error}"
        aggregate._restore(snapshot.version, _set_fields(state))
        return None


@lru_cache(maxsize=1024)
def _state_struct(definition: Definition) -> type[msgspec.Struct]:
    fields = [
        (name, annotation | msgspec.UnsetType, msgspec.UNSET)
        for name, annotation in definition.state_types().items()
    ]
    return msgspec.defstruct(f"{definition.aggregate_type}State", fields, kw_only=True)


@lru_cache(maxsize=1024)
def _fingerprint(definition: Definition) -> str:
    events = sorted(definition.events.items())
    parts = [
        str(definition.snapshot_version),
        _described([_state_struct(definition), *(cls for _, cls in events)]),
        *(f"{name}/{cls.__schema_version__}" for name, cls in events),
        *_sources(definition.fold, definition.owner),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _set_fields(state: msgspec.Struct) -> Mapping[str, Any]:
    values = ((name, getattr(state, name)) for name in state.__struct_fields__)
    return {name: value for name, value in values if value is not msgspec.UNSET}


def _described(structs: Sequence[type[msgspec.Struct]]) -> str:
    described = repr(msgspec.inspect.multi_type_info(structs))
    return re.sub(r" at 0x[0-9a-fA-F]+", "", described)


def _sources(fold: Callable[..., Any], owner: type) -> list[str]:
    """The source of `fold` and of the owner's and its module's functions that it uses, by name."""
    module = vars(inspect.getmodule(owner) or owner)
    waiting, seen, sources = [fold], set[Any](), list[str]()
    while waiting:
        function = inspect.unwrap(waiting.pop(0))
        code = getattr(function, "__code__", None)
        if code is None or code in seen:
            continue
        seen.add(code)
        sources.append(_source(function, code))
        for name in code.co_names:
            used: Any = inspect.getattr_static(owner, name, None) or module.get(name)
            used = getattr(used, "fget", None) or getattr(used, "__func__", used)
            if isinstance(used, types.FunctionType) and used.__module__ == owner.__module__:
                waiting.append(used)
    return sources


def _source(function: Callable[..., Any], code: types.CodeType) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # Typed at a prompt, or shipped without its source.
        constants = [part for part in code.co_consts if not isinstance(part, types.CodeType)]
        return f"{code.co_code.hex()} {code.co_names} {constants!r}"
