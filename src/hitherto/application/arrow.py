"""Apache Arrow, where an extra has installed it: for Parquet files, and for frames."""

from importlib import import_module
from typing import Any, Literal

from hitherto.errors import ConfigurationError

_NEEDS = {"parquet": "Parquet needs its library", "frames": "frames need Arrow"}


def arrow(module: str, extra: Literal["parquet", "frames"]) -> Any:
    """A module of pyarrow.

    Raises:
        ConfigurationError: The extra that brings it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        told = f"{_NEEDS[extra]}: pip install 'hitherto[{extra}]'"
        raise ConfigurationError(told) from error


def envelope_types(pyarrow: Any) -> dict[str, Any]:
    """The types of what is known about each event, by the names of `RecordedEvent`."""
    moment = pyarrow.timestamp("us", tz="UTC")
    return {
        "position": pyarrow.int64(),
        "event_id": pyarrow.string(),
        "event_type": pyarrow.string(),
        "schema_version": pyarrow.int16(),
        "aggregate_id": pyarrow.string(),
        "aggregate_type": pyarrow.string(),
        "version": pyarrow.int32(),
        "occurred_at": moment,
        "stored_at": moment,
    }
