"""Which field it is that a codec cannot deal with; asked when something has failed already."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from hitherto.application.ports import Codec
from hitherto.domain.places import declared


def undecodable(cls: type[msgspec.Struct], codec: Codec, error: TypeError | NameError) -> str:
    """The first field for whose type there is no decoder; the class where it is none alone."""
    if isinstance(error, NameError):  # of a forward reference
        told = inspect.get_annotations(cls)
        names = [name for name in told if str(error.name) in str(told[name])]
    else:
        fields = msgspec.structs.fields(cls)
        names = [each.name for each in fields if _fails(codec.decoder, each.type)]
    return declared(cls, names[0]) if names else cls.__qualname__


def unencodable(value: object, encode: Callable[[Any], bytes]) -> str:
    """The first field of a value that cannot be encoded; its class where it is none alone."""
    names: tuple[str, ...] = getattr(value, "__struct_fields__", ())
    for name in names:
        if _fails(encode, getattr(value, name)):
            return declared(type(value), name)
    return type(value).__name__


def _fails(function: Callable[[Any], object], argument: Any) -> bool:
    try:
        function(argument)
    except TypeError:
        return True
    return False
