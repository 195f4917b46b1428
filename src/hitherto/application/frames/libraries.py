"""What makes a frame of an Arrow table: pandas and polars, where they are installed."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, TypeAlias

from hitherto.errors import ConfigurationError, InvalidInput

Library: TypeAlias = Literal["pandas", "polars", "arrow"]


def maker(library: str) -> Callable[[Any], Any]:
    """What makes a library's frame of an Arrow table.

    Raises:
        ConfigurationError: It is not installed.
        InvalidInput: It is another one.
    """
    match library:
        case "arrow":
            return lambda table: table
        case "pandas":
            pandas = _installed("pandas")
            return lambda table: table.to_pandas(types_mapper=pandas.ArrowDtype)
        case "polars":
            return _from_arrow(_installed("polars"))
        case _:
            raise InvalidInput(f"as_={library!r}: give 'pandas', 'polars' or 'arrow'")


def _from_arrow(polars: Any) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = polars.from_arrow
    return made


def _installed(library: str) -> Any:
    try:
        return import_module(library)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"as_={library!r} needs {library}: pip install {library}, or take as_='arrow'"
        ) from error
