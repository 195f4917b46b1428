"""Mappings that the command line names."""

from typing import Any

from hitherto import Adoption
from hitherto.application.adopting import mapping_of
from hitherto.cli.loading import _named


def load_mapping(name: str) -> Adoption[Any]:
    """The mapping that MODULE:NAME names.

    Raises:
        ConfigurationError: There is none.
    """
    return mapping_of(_named(name, "mapping", _is_mapping))


def _is_mapping(value: Any) -> bool:
    if isinstance(value, type):
        return issubclass(value, Adoption) and value is not Adoption
    return isinstance(value, Adoption)
