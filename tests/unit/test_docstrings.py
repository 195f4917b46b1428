"""A hover over any public name says what it is."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

import hitherto
import hitherto.frames
import hitherto.sync
import hitherto.sync.frames
import hitherto.testing

FACES = (hitherto, hitherto.sync, hitherto.testing, hitherto.frames, hitherto.sync.frames)
NAMES = [
    pytest.param(face, name, id=f"{face.__name__}.{name}")
    for face in FACES
    for name in face.__all__
]
NOT_OURS = {"pytestmark"}  # pytest's own word


@pytest.mark.parametrize(("face", "name"), NAMES)
def test_a_public_name_and_all_that_it_has_is_explained(face: ModuleType, name: str) -> None:
    """By a docstring, of its own or its class's; an alias by the text behind it."""
    assert list(unexplained(face, name)) == []


def unexplained(face: ModuleType, name: str) -> Iterator[str]:
    """What of a public name has no explanation."""
    value = getattr(face, name)
    if not isinstance(value, type | FunctionType):
        if name not in texts_behind(ast.parse(inspect.getsource(home_of(face, name)))):
            yield name
        return
    if not vars(value).get("__doc__", getattr(value, "__doc__", None)):
        yield name
    if isinstance(value, type):
        for part in sorted(parts_of(value) - explained_in(value) - NOT_OURS):
            yield f"{name}.{part}"


def parts_of(cls: type) -> set[str]:
    """Its public methods, properties and attributes, inherited ones too."""
    found: set[str] = set()
    for base in own_bases(cls):
        found |= vars(base).keys() | inspect.get_annotations(base).keys()
        found |= set(
            re.findall(r"^        self\.(\w+)(?:: [^=]+)? = ", source_of(base), re.MULTILINE)
        )
    return {name for name in found if not name.startswith("_")}


def explained_in(cls: type) -> set[str]:
    """What its docstrings tell of: methods have their own, attributes a line or a text behind."""
    told: set[str] = set()
    for base in own_bases(cls):
        told |= set(re.findall(r"^ *(\w+): ", base.__doc__ or "", re.MULTILINE))
        (statement,) = ast.parse(source_of(base)).body
        assert isinstance(statement, ast.ClassDef)
        told |= texts_behind(statement)
        told |= {name for name, value in vars(base).items() if described(value)}
    return told


def described(value: Any) -> bool:
    """Whether a member of a class has a docstring."""
    function = inspect.unwrap(getattr(value, "__func__", value))  # a fixture wraps
    return isinstance(function, FunctionType | property | type) and bool(function.__doc__)


def own_bases(cls: type) -> list[type]:
    """Itself and the bases that are hitherto's."""
    return [base for base in cls.__mro__ if base is cls or base.__module__.startswith("hitherto")]


def source_of(cls: type) -> str:
    """Its text, from the margin."""
    return inspect.cleandoc("\n" + inspect.getsource(cls))


def texts_behind(body: ast.Module | ast.ClassDef) -> set[str]:
    """The names that are assigned or declared with a text on the next line."""
    told: set[str] = set()
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
            told |= {target.id for target in targets if isinstance(target, ast.Name)}
    return told


def home_of(face: ModuleType, name: str) -> ModuleType:
    """The module that defines an alias."""
    for statement in ast.parse(inspect.getsource(face)).body:
        if isinstance(statement, ast.ImportFrom) and name in {
            each.name for each in statement.names
        }:
            assert statement.module is not None
            module = sys.modules[statement.module]
            return home_of(module, name) if name in imported(module) else module
    raise AssertionError(f"{name} is not imported")


def imported(module: ModuleType) -> set[str]:
    """The names that a module has from elsewhere."""
    statements = ast.parse(inspect.getsource(module)).body
    imports = [each for each in statements if isinstance(each, ast.ImportFrom)]
    return {alias.name for each in imports for alias in each.names}


class Example:
    """Says little.

    Attributes:
        told: This one.
    """

    told: int
    untold: int
    behind: int = 1
    """Told behind it."""

    def __init__(self) -> None:
        self.made = 1

    def method(self) -> None:
        self.made = 2


def test_what_lacks_an_explanation_is_found() -> None:
    """Attributes declared or made, and methods."""
    assert parts_of(Example) - explained_in(Example) == {"untold", "made", "method"}
