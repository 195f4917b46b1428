"""The fingerprint of the code that a snapshot depends on."""

import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from hitherto.domain.definition import Definition


@lru_cache(maxsize=1024)
def state_struct(definition: Definition) -> type[msgspec.Struct]:
    """A struct of the state's fields, all of them optional."""
    fields = [
        (name, annotation | msgspec.UnsetType, msgspec.UNSET)
        for name, annotation in definition.state_types().items()
    ]
    return msgspec.defstruct(f"{definition.aggregate_type}State", fields, kw_only=True)


@lru_cache(maxsize=1024)
def fingerprint(definition: Definition) -> str:
    """Names the code that the snapshots of one kind of aggregate depend on.

    That is the types of the state's fields, the events' fields, and the source of the fold with
    the functions that it uses. It is the same in every process that runs the same code.

    Raises:
        TypeError, NameError: A type is unknown, or no JSON can tell its values apart.
    """
    events = sorted(definition.events.items())
    parts = [
        str(definition.snapshot_version),
        _described([state_struct(definition), *(cls for _, cls in events)]),
        *(f"{name}/{cls.__schema_version__}" for name, cls in events),
        *_sources(definition.fold, definition.owner),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _described(structs: Sequence[type[msgspec.Struct]]) -> str:
    return _stable(repr(msgspec.inspect.multi_type_info(structs)))


def _sources(fold: Callable[..., Any], owner: type) -> list[str]:
    """The source of `fold` and of the functions beside it that it uses, by name."""
    waiting = _plain(inspect.getattr_static(owner, fold.__name__, fold))
    seen, sources = set[Any](), list[str]()
    while waiting:
        function = waiting.pop(0)
        if function.__code__ in seen:
            continue
        seen.add(function.__code__)
        sources.append(_source(function))
        beside = {owner.__module__, function.__module__}
        for name in _names(function.__code__):
            used = inspect.getattr_static(owner, name, None) or function.__globals__.get(name)
            waiting += [each for each in _plain(used) if each.__module__ in beside]
    return sources


def _plain(used: Any) -> list[types.FunctionType]:
    """The functions behind a method, a property, a decorator or a single dispatch."""
    used = getattr(used, "fget", None) or getattr(used, "__func__", used)
    dispatched = getattr(getattr(used, "dispatcher", used), "registry", None)
    parts: list[Any] = [*dispatched.values()] if isinstance(dispatched, Mapping) else [used]
    return [part for part in map(inspect.unwrap, parts) if isinstance(part, types.FunctionType)]


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that are used in `code`, and in the functions and comprehensions inside it."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)


def _source(function: types.FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # Typed at a prompt, or shipped without its source.
        return _compiled(function.__code__)


def _compiled(code: types.CodeType) -> str:
    constants = [
        _compiled(part) if isinstance(part, types.CodeType) else _stable(repr(part))
        for part in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants!r}"


def _stable(text: str) -> str:
    """`text` without what differs between processes: addresses, and the order of a set."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return re.sub(r"frozenset\(\{(.*?)\}\)", lambda found: str(sorted(found[1].split(", "))), text)
