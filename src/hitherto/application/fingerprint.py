"""The fingerprint of the code that a snapshot depends on."""

import hashlib
import inspect
import re
import types
from collections.abc import Callable, Sequence
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
