"""The fingerprint of the code that a snapshot depends on."""

import hashlib
import inspect
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache, partial, partialmethod, singledispatchmethod
from pathlib import Path
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any, get_args, get_origin

import msgspec

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decider
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event

_HITHERTO = {*Aggregate.__mro__, *Decider.__mro__, *Event.__mro__}
_BY_NAME = {
    "getattr", "vars", "__dict__", "methodcaller", "attrgetter", "__getattribute__", "getmembers",
    "getattr_static",
}  # fmt: skip
"""A function that uses one of them may call any method."""

_ANNOTATING = {"__annotate__", "__annotate_func__"}
"""What Python 3.14 makes of annotations; those that count are told with the types."""

_METHODS = (FunctionType, property, cached_property, staticmethod, classmethod)
_PLAIN: tuple[Any, ...] = (str, bytes, int, float, complex, Decimal)
_WRITTEN_ONCE = (type, FunctionType, list, set, dict, MappingProxyType, msgspec.Struct)
_INSIDE: Sequence[tuple[Any, Sequence[str]]] = (
    (property, ("fget", "fset")),
    (cached_property, ("func",)),
    ((staticmethod, classmethod), ("__func__",)),
    (MethodType, ("__self__", "__func__")),
    (BuiltinMethodType, ("__self__", "__qualname__")),
    ((partial, partialmethod), ("func", "args", "keywords")),
    (singledispatchmethod, ("dispatcher",)),
    (re.Pattern, ("pattern", "flags")),
    (Enum, ("_value_", "__class__")),
    (ModuleType, ("__name__",)),
)


@lru_cache(maxsize=1024)
def state_struct(definition: Definition) -> type[msgspec.Struct]:
    """A struct of the state's fields, all of them optional."""
    fields = [
        (name, annotation | msgspec.UnsetType, msgspec.UNSET)
        for name, annotation in definition.state_types().items()
    ]
    return msgspec.defstruct(
        f"{definition.aggregate_type}State",
        fields,
        kw_only=True,
        module=definition.owner.__module__,
    )


@lru_cache(maxsize=1024)
def fingerprint(definition: Definition) -> str:
    """Names the code that the snapshots of one kind of aggregate depend on.

    That is the types and the defaults of the state, the events' fields, and the upcasters and the
    fold with all that they come to by name: functions, classes and constants. Code counts as it was
    compiled, and only code of the packages that the aggregate, its events and the structs in them
    are from. It is the same in every process that runs the same code on the same Python.

    Raises:
        TypeError, NameError: A type is unknown, or no JSON can tell its values apart.
    """
    events = [definition.events[name] for name in sorted(definition.events)]
    types = msgspec.inspect.multi_type_info([state_struct(definition), *events])
    named = [(cls.__stored_names__, cls.__schema_version__) for cls in events]
    registries: list[Mapping[Any, Any]] = [cls.__upcasters__ for cls in events]
    upcasters = [sorted(each.items()) for each in (definition.upcasters, *registries)]
    walk = _Walk(definition, types)
    start = (definition.snapshot_version, named, types, definition.fold, upcasters, walk.start())
    return hashlib.sha256("\0".join(walk.parts(start)).encode()).hexdigest()[:32]


class _Walk:
    """Goes through all that a fold comes to.

    Left out is what differs between processes: addresses, the order of sets, where code stands.
    """

    def __init__(self, definition: Definition, types: Sequence[msgspec.inspect.Type]) -> None:
        self._fields = definition.fields
        self._bases = [cls for cls in definition.owner.__mro__ if cls not in _HITHERTO]
        known = (*self._bases, *_structs(types))
        self._packages = {_package(cls.__module__) for cls in known}

    def start(self) -> Mapping[str, Any]:
        """The fold, the defaults, and what Python itself calls, such as `__init__`."""
        special = [
            name
            for cls in self._bases
            for name, value in vars(cls).items()
            if _is_special(name) and name not in _ANNOTATING and _is(value, FunctionType)
        ]
        names = ("apply", "evolve", "initial", *self._fields, *special)
        return _found(names, map(vars, self._bases))

    def parts(self, start: object) -> Iterator[str]:
        """A line for each thing, which tells how many of the lines to come are inside it."""
        seen = dict[int, tuple[int, object]]()  # The things too: an id is not used again then.
        waiting = deque([start])
        while waiting:
            value = waiting.popleft()
            if id(value) in seen:
                yield f"again {seen[id(value)][0]}"
                continue
            if _is(value, _WRITTEN_ONCE) or self._is_own(_kind(value)):
                seen[id(value)] = len(seen), value
            label, inside = self._open(value)
            yield f"{label} {len(inside)}"
            waiting.extend(inside)

    def _open(self, value: Any) -> tuple[str, Sequence[Any]]:
        """How to write one thing, and what is inside it."""
        kind = _kind(value)
        if _is(value, type):
            return _name(value), self._in_class(value)
        if _is(value, FunctionType):
            return _name(value), self._in_function(value)
        if _is(value, CodeType):
            return _compiled(value), value.co_consts
        own: list[Any] = [kind] if self._is_own(kind) else []
        inside = _inside(value)
        if inside is not None:
            return _name(kind), [*own, *inside]
        if own and not _is(value, _PLAIN):
            return _name(kind), [*own, _state(value)]
        wrapped = inspect.getattr_static(value, "__wrapped__", None)
        return f"{_name(kind)} {_text(value)}", own if wrapped is None else [*own, wrapped]

    def _in_class(self, cls: type) -> Sequence[Any]:
        if cls in self._bases or not self._is_own(cls):  # Those are looked into by name.
            return ()
        members: dict[str, Any] = {
            name: value
            for name, value in vars(cls).items()
            if not (name.startswith("_") and name.endswith("_"))
            or (_is(value, _METHODS) and name not in _ANNOTATING)
            or name == "__match_args__"  # what `case Paid(amount)` goes by
        }
        return type(cls), *cls.__bases__, members, _type_info(cls)

    def _in_function(self, function: FunctionType) -> Sequence[Any]:
        cells = _cells(function)
        # Its `__module__` may be that of the function which a decorator was given.
        if _package(function.__globals__.get("__name__")) not in self._packages:
            functions = [each for each in cells.values() if _is(each, FunctionType)]
            marks = [vars(function).get(name) for name in ("__wrapped__", "registry")]
            return [*marks, *functions]
        defaults = function.__defaults__, function.__kwdefaults__
        return function.__code__, defaults, cells, self._used(function)

    def _used(self, function: FunctionType) -> Mapping[str, Any]:
        """What the names in a function stand for: here, in the aggregate, in named modules."""
        names = dict.fromkeys(_names(function.__code__))
        if not _BY_NAME.isdisjoint(names):
            names |= dict.fromkeys(name for cls in self._bases for name in vars(cls))
        spaces = [*map(vars, self._bases), function.__globals__]
        for space in spaces:  # It grows on the way, for a module in a module.
            used: list[Any] = [space.get(name) for name in names]
            for module in used:
                if _is(module, ModuleType) and not any(module.__dict__ is each for each in spaces):
                    spaces.append(module.__dict__)
        return _found([name for name in names if not _is_special(name)], spaces)

    def _is_own(self, cls: type) -> bool:
        return cls not in _HITHERTO and _package(cls.__module__) in self._packages


def _structs(types: Iterable[Any]) -> Iterator[type]:
    """The structs and the dataclasses among `types` and inside them."""
    waiting, seen = deque(types), set[int]()
    while waiting:
        each = waiting.popleft()
        if _is(each, tuple):
            waiting.extend(each)
        elif _is(each, msgspec.inspect.Type | msgspec.inspect.Field) and id(each) not in seen:
            seen.add(id(each))
            waiting.extend(getattr(each, name) for name in each.__struct_fields__)
            if _is(each, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
                yield each.cls


def _found(names: Iterable[str], spaces: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What each name stands for in each of the spaces that have it."""
    spaces = list(spaces)
    found = {name: tuple(space[name] for space in spaces if name in space) for name in names}
    return {name: values for name, values in found.items() if values}


def _names(code: CodeType) -> Iterator[str]:
    """The names that are used in `code`, and in the functions and comprehensions inside it."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _compiled(code: CodeType) -> str:
    """All of a function but its constants, and but where it stands."""
    arguments = code.co_posonlyargcount, code.co_argcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars
    return f"{code.co_code.hex()} {code.co_exceptiontable.hex()} {arguments} {names}"


def _cells(function: FunctionType) -> dict[str, Any]:
    """The variables of the functions around a function that it uses."""
    cells = dict[str, Any]()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # Not set yet.
            cells[name] = None
    return cells


def _type_info(cls: type) -> msgspec.inspect.Type | None:
    """The fields of a struct or a dataclass, with their types and defaults."""
    try:
        return msgspec.inspect.type_info(cls)
    except Exception:  # noqa: BLE001  # Not a type that is ever encoded.
        return None


def _inside(value: Any) -> Sequence[Any] | None:
    """What a container holds or a wrapper wraps; None for what is neither."""
    kind = _kind(value)
    for kinds, names in _INSIDE:
        if _is(value, kinds):
            return [getattr(value, name, None) for name in names]
    if _is(value, msgspec.Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
    if _is(value, list | tuple):
        return value  # type: ignore[no-any-return]
    if _is(value, set | frozenset):
        return sorted(value, key=_order)
    if _is(value, dict | MappingProxyType):
        return [each for item in value.items() for each in item]
    alias = get_origin(value) if kind.__module__ in {"types", "typing"} else None
    return None if alias is None else (alias, *get_args(value))


def _state(value: object) -> object:
    """The attributes of an instance."""
    try:
        return object.__getstate__(value)
    except Exception:  # noqa: BLE001  # It has none, or is a lazy object that is not ready yet.
        return None


def _text(value: object) -> str:
    """How a constant is written; nothing for an object of a library that is no constant."""
    kind = _kind(value)
    for plain in _PLAIN:
        if _is(value, plain):
            return str(plain.__repr__(value))
    try:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    except Exception:  # noqa: BLE001  # It is a lazy object that is not ready yet.
        return ""
    return "" if text.startswith("<") and kind.__module__ != "builtins" else text


def _order(value: Any) -> str:
    """Sorts the elements of a set alike in every process."""
    if _is(value, frozenset):
        return str(sorted(map(_order, value)))
    return repr(value)


def _kind(value: object) -> type:
    return type(value)


def _is(value: object, kinds: Any) -> bool:
    """`isinstance` that wakes no lazy object, whose `__class__` may raise."""
    return issubclass(_kind(value), kinds)


def _name(value: Any) -> str:
    return f"{_imported_name(value.__module__)}.{value.__qualname__}"


def _package(module: object) -> str:
    return _imported_name(module).partition(".")[0]


def _imported_name(module: object) -> str:
    """What others would import it as: a program that is run has another name for itself."""
    main = sys.modules.get("__main__")
    if module not in {"__main__", "__mp_main__"} or main is None:
        return str(module)
    spec = getattr(main, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(main, "__file__", "__main__")).stem


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
