"""Three roles for a store, each with the least rights that it needs."""

import re
from importlib import resources

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.postgres.schema import Schema

_ROLES = ("owner", "writer", "reader")
_BODY_TAG = "$roles$"
_LONGEST = 63 - len("_writer")
_PLACE = re.compile(r"\{(\w+)\}")


def roles_sql(schema: str, prefix: str | None = None) -> str:
    """A script for a DBA that makes an owner, a writer and a reader of the tables in `schema`.

    Args:
        schema: The name of the schema; its tables must be up to date.
        prefix: What the roles' names begin with, before ``_owner``, ``_writer`` and ``_reader``;
            left out: the schema's name, or ``hitherto`` for the schema ``public``.

    Raises:
        ConfigurationError: The schema's name, or that of a role, cannot be used.
    """
    values = {"schema": Schema(schema).sql("{schema}")}
    if prefix is None:
        prefix = "hitherto" if schema == "public" else schema
    _check(prefix)
    for role in _ROLES:
        name = f"{prefix}_{role}"
        values[role] = '"' + name.replace('"', '""') + '"'
        values[f"{role}_text"] = "'" + name.replace("'", "''") + "'"
    package = resources.files("hitherto.infrastructure.postgres")
    template = package.joinpath("roles.sql").read_text(encoding="utf-8")
    # In one pass: a role may be called "{schema}_owner".
    return _PLACE.sub(lambda place: values[place[1]], template)


def _check(prefix: str) -> None:
    try:
        length = len(prefix.encode())
    except UnicodeEncodeError:
        length = 0
    reserved = f"{prefix}_".startswith("pg_")
    if not 1 <= length <= _LONGEST or reserved or "\0" in prefix or _BODY_TAG in prefix:
        raise ConfigurationError(
            f"the roles cannot be called {prefix!r}_owner and so on: give a prefix of 1 to "
            f"{_LONGEST} bytes that does not begin with pg_"
        )
