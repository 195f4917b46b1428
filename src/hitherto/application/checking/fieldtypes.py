"""The types of fields as texts, such as ``tuple[int(ge=1), ...] | None = None``, taken apart."""

import ast
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from hitherto.application.checking.schemas import Structure

SCALARS: Final = frozenset(
    [
        "None",
        "bool",
        "int",
        "float",
        "str",
        "Decimal",
        "datetime",
        "date",
        "time",
        "timedelta",
        "UUID",
        "bytes",
        "Any",
        "Raw",
    ]
)
TEXTS: Final = frozenset(["Decimal", "datetime", "date", "time", "timedelta", "UUID", "bytes"])
"""What JSON has as a text, and Python as something else."""

ARRAYS: Final = frozenset(["list", "set", "frozenset", "Collection", "tuple…"])
"""Arrays of any length; `tuple` alone has a fixed one."""

MANY, ONE_OF, PERSONAL = "tuple…", "Literal", "Personal"
RESERVED: Final = SCALARS | ARRAYS | {"tuple", "Mapping", "Custom", ONE_OF, PERSONAL, "UNSET"}


class Type(msgspec.Struct, frozen=True, kw_only=True):
    """One of the types that a field may have.

    Attributes:
        name: `int`, `Mapping`, …, or that of a struct or an enum.
        text: All of it.
        parts: The types inside of a container.
        values: Of a literal.
        limits: Such as `ge`.
    """

    name: str
    text: str
    parts: tuple["Types", ...] = ()
    values: tuple[Any, ...] = ()
    limits: Mapping[str, Any] = {}


Types: TypeAlias = tuple[Type, ...]
"""Of a union all."""


class Field(msgspec.Struct, frozen=True):
    """A field.

    Attributes:
        types: Those that it may have.
        text: They as a text.
        default: The default as a text; None: there is none.
        is_personal: Whether it is about a person, so that it may be forgotten.
    """

    types: Types
    text: str
    default: str | None
    is_personal: bool


@lru_cache(maxsize=4096)
def parsed(text: str) -> Field:
    """A field by its text.

    Raises:
        ValueError: It cannot be understood.
    """
    try:
        (statement,) = ast.parse(f"_: {text}").body
        if not isinstance(statement, ast.AnnAssign):
            raise ValueError
        default = None if statement.value is None else ast.unparse(statement.value)
        match statement.annotation:
            case ast.Subscript(value=ast.Name(id="Personal"), slice=inside):
                types, is_personal = _union(inside), True
            case annotation:
                types, is_personal = _union(annotation), False
        return Field(types, ast.unparse(statement.annotation), default, is_personal)
    except (ValueError, SyntaxError, RecursionError, MemoryError, AttributeError, TypeError):
        raise ValueError(f"{text!r} is not the type of a field") from None


def checked(texts: Iterable[str], types: Mapping[str, Structure]) -> None:
    """Refuse texts that cannot be understood, or that name a structure which is not there.

    Raises:
        ValueError: One of them cannot, or does.
    """
    for text in texts:
        waiting = list(parsed(text).types)
        while waiting:
            each = waiting.pop()
            waiting += [one for part in each.parts for one in part]
            if each.name not in RESERVED and each.name not in types:
                raise ValueError(f"{text!r} names {each.name!r}, which is not among the types")


def _union(node: ast.expr) -> Types:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return (*_union(node.left), *_union(node.right))
    return (_type(node),)


def _type(node: ast.expr) -> Type:
    text = ast.unparse(node)
    if isinstance(node, ast.Call):
        limits = {each.arg or "": ast.literal_eval(each.value) for each in node.keywords}
        return msgspec.structs.replace(_type(node.func), limits=limits, text=text)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _container(node.value.id, node.slice, text)
    if isinstance(node, ast.Constant) and node.value is None:
        return Type(name="None", text=text)
    if isinstance(node, ast.Name):
        return Type(name=node.id, text=text)
    raise ValueError


def _container(name: str, inside: ast.expr, text: str) -> Type:
    nodes = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name in {ONE_OF, "Custom"}:
        return Type(name=name, text=text, values=tuple(map(ast.literal_eval, nodes)))
    last = nodes[-1] if nodes else None
    if name == "tuple" and isinstance(last, ast.Constant) and last.value is ...:
        name, nodes = MANY, nodes[:-1]
    if len(nodes) != {"tuple": len(nodes), "Mapping": 2}.get(name, 1):
        raise ValueError
    return Type(name=name, text=text, parts=tuple(map(_union, nodes)))
