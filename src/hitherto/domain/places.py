"""Where the source declares a field, for errors that name it."""

import inspect
import re


def declared(cls: type, name: str) -> str:
    """A field by its class, its name and, where the source can be read, its file and line.

    Such as ``OrderPlaced.tags (/home/ada/shop/events.py:12)``.
    """
    told = f"{cls.__qualname__}.{name}"
    home = next((base for base in cls.__mro__ if name in inspect.get_annotations(base)), cls)
    try:
        lines, first = inspect.getsourcelines(home)
        path = inspect.getsourcefile(home)
    except (OSError, TypeError):  # Typed in, or made by a program.
        return told
    declaration = re.compile(rf"\s*{re.escape(name)}\s*:")
    numbers = [number for number, line in enumerate(lines, first) if declaration.match(line)]
    return f"{told} ({path}:{numbers[0]})" if numbers else told
