"""Aggregates and projections that the command line names."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from hitherto import Aggregate, ConfigurationError, Decider, Process, Reactions
from hitherto.application.projection import Projection

Kind: TypeAlias = Callable[[str], Aggregate[Any]]
"""What `Repository` takes: an aggregate class, or an instance of a `Decider`."""

_AGGREGATE, _PROJECTION, _FUNCTION = "aggregate", "projection", "function"
_EXAMPLES = {
    _AGGREGATE: "shop.orders:Order",
    _PROJECTION: "shop.views:Balances",
    _FUNCTION: "shop.orders:is_delivered",
    "mapping": "shop.users:Users",
}


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
    kind: Kind = _named(name, _AGGREGATE, _is_kind)
    if not _is_kind(kind):
        raise ConfigurationError(
            f"{name!r} is neither an aggregate class that names its events nor an instance of a "
            "Decider"
        )
    return kind


def load_projections(names: Iterable[str]) -> list[Projection[Any]]:
    """The projections that some words name, as `load_projection` does.

    Raises:
        ConfigurationError: A word names none, or two name one.
    """
    found: dict[str, Projection[Any]] = {}
    for name in names:
        projection = load_projection(name)
        if projection.name in found:
            raise ConfigurationError(
                f"{name!r} is stored as {projection.name!r}, as another one is: name each once"
            )
        found[projection.name] = projection
    return list(found.values())


def load_projection(name: str) -> Projection[Any]:
    """The projection that MODULE:NAME names: an instance, or one of a class without arguments.

    Raises:
        ConfigurationError: There is none.
    """
    found = _named(name, _PROJECTION, _is_projection)
    if _is_process(found):
        raise ConfigurationError(
            f"{name!r} is a process, which needs the bus and the store of a program of your own: "
            "run it there, by `await ProjectionWorker(store, Reactions(store, …, bus)).run()`"
        )
    if not _is_projection(found):
        raise ConfigurationError(
            f"{name!r} is neither a projection's class of your own nor an instance of one"
        )
    if not isinstance(found, type):
        made: Projection[Any] = found
        return made
    try:
        made = found()
    except Exception as error:  # whatever its __init__ raises
        raise ConfigurationError(
            f"{name!r} cannot be made without arguments: {type(error).__name__}: {error}; "
            "make an instance in the module, and name that"
        ) from error
    return made


def load_function(name: str) -> Callable[[Any], Any]:
    """The function, or the method of a class, that MODULE:NAME names.

    Raises:
        ConfigurationError: There is none.
    """
    found = _named(name, _FUNCTION, inspect.isfunction)
    if not callable(found):
        raise ConfigurationError(f"{name!r} is no function, nor a method of a class")
    made: Callable[[Any], Any] = found
    return made


def _named(name: str, what: str, is_wanted: Callable[[Any], bool]) -> Any:
    """What MODULE:NAME names, whatever that is."""
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        shown = repr(name) if {"/", "@"}.isdisjoint(name) else "what looks like a URL"
        raise ConfigurationError(f"{shown} names no {what}: {_form(what)}")
    module = _imported(module_name, name, what)
    try:
        return attrgetter(path)(module)
    except AttributeError:
        there = [each for each, value in vars(module).items() if is_wanted(value)]
        hint = f"it has {', '.join(sorted(there))}" if there else f"it has no {what} at all"
        raise ConfigurationError(
            f"{name!r}: the module {module_name!r} has no {path!r}; {hint}"
        ) from None


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


def _is_projection(value: Any) -> bool:
    if isinstance(value, type):  # The bases that hitherto offers handle nothing by themselves.
        return Projection in value.__mro__ and not value.__module__.startswith("hitherto.app")
    return isinstance(value, Projection) and not _is_process(value)


def _is_process(value: Any) -> bool:
    return isinstance(value, Reactions) or (isinstance(value, type) and issubclass(value, Process))


def _imported(module_name: str, asked_for: str, what: str = _AGGREGATE) -> ModuleType:
    """The module; what is in the current folder can be imported, and prints to stderr."""
    if not {"/", "@"}.isdisjoint(asked_for):  # It is not shown, for it may hold a password.
        raise ConfigurationError(f"what looks like a URL names no {what}: {_form(what)}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        told = f"{asked_for!r}: the module {module_name!r} cannot be imported: "
        raise ConfigurationError(f"{told}{type(error).__name__}: {error}; {_form(what)}") from error


def _form(what: str) -> str:
    return f"give MODULE:NAME, such as {_EXAMPLES[what]}"
