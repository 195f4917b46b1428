"""Aggregates that the command line names."""

import importlib
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from hitherto import Aggregate, ConfigurationError, Decider

Kind: TypeAlias = Callable[[str], Aggregate[Any]]
"""What `Repository` takes: an aggregate class, or an instance of a `Decider`."""

_FORM = "give MODULE:NAME, such as shop.orders:Order"


def load_all(names: Iterable[str]) -> list[Kind]:
    """The aggregates that some words name, each once: MODULE:NAME, or all those of a MODULE.

    Raises:
        ConfigurationError: A word names none.
    """
    found: list[Kind] = []
    for name in names:
        kinds = [load_one(name)] if ":" in name else _all_of(_imported(name, name), name)
        found.extend(kind for kind in kinds if not any(kind is one for one in found))
    return found


def load_one(name: str) -> Kind:
    """The aggregate that MODULE:NAME names.

    Raises:
        ConfigurationError: There is none.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        shown = repr(name) if {"/", "@"}.isdisjoint(name) else "what looks like a URL"
        raise ConfigurationError(f"{shown} names no aggregate: {_FORM}")
    module = _imported(module_name, name)
    try:
        found = attrgetter(path)(module)
    except AttributeError:
        there = [each for each, value in vars(module).items() if _is_kind(value)]
        hint = f"it has {', '.join(sorted(there))}" if there else "it has no aggregate at all"
        raise ConfigurationError(
            f"{name!r}: the module {module_name!r} has no {path!r}; {hint}"
        ) from None
    if not _is_kind(found):
        raise ConfigurationError(
            f"{name!r} is neither an aggregate class that names its events nor an instance of a "
            "Decider"
        )
    kind: Kind = found
    return kind


def _all_of(module: ModuleType, name: str) -> list[Kind]:
    kinds: list[Kind] = [value for value in vars(module).values() if _is_kind(value)]
    if not kinds:
        raise ConfigurationError(
            f"the module {name!r} has no aggregate class, nor an instance of a Decider: "
            "name the module where they are"
        )
    return kinds


def _is_kind(value: Any) -> bool:
    if isinstance(value, type):
        return Aggregate in value.__mro__ and "definition" in dir(value)
    return isinstance(value, Decider)


def _imported(module_name: str, asked_for: str) -> ModuleType:
    """The module; what is in the current folder can be imported, and prints to stderr."""
    if not {"/", "@"}.isdisjoint(asked_for):  # It is not shown, for it may hold a password.
        raise ConfigurationError(f"what looks like a URL names no aggregate: {_FORM}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        told = f"{asked_for!r}: the module {module_name!r} cannot be imported: "
        raise ConfigurationError(f"{told}{type(error).__name__}: {error}; {_FORM}") from error
