"""From `settings.HITHERTO` to the arguments of `connect`."""

import inspect
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string

from hitherto.connect import Settings, connect
from hitherto.errors import ConfigurationError

_KEYS = {name.upper(): name for name in inspect.signature(connect).parameters}
_OBJECTS = {"CODEC", "CLOCK", "NEW_ID", "INSTRUMENTATION", "KEYS"}
_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")


def connect_arguments() -> dict[str, Any]:
    """What `connect` is to be given.

    Raises:
        ConfigurationError: `settings.HITHERTO` is wrong; the message says what may be in it.
    """
    given: Mapping[str, Any] = getattr(settings, "HITHERTO", {})
    plain: Any = given
    if not isinstance(plain, Mapping):
        raise ConfigurationError(f"HITHERTO is a {type(given).__name__}: make it a dict")
    unknown = [key for key in given if key not in _KEYS and key != "DATABASE"]
    if unknown:
        raise ConfigurationError(
            f"HITHERTO[{unknown[0]!r}] is no setting: use DATABASE, {', '.join(_KEYS)}"
        )
    arguments = {_KEYS[key]: _made(key, value) for key, value in given.items() if key in _KEYS}
    if "DATABASE" in given:
        if "URL" in given:
            raise ConfigurationError("HITHERTO has both URL and DATABASE: give one")
        arguments["url"] = _database_url(given["DATABASE"])
    arguments["url"] = Settings.from_environment(url=arguments.get("url")).url
    _check_own_file(arguments["url"])
    return arguments


def _made(key: str, value: Any) -> Any:
    """The value, or what its dotted path leads to: an object, or an instance of a class."""
    if key == "INLINE":
        if isinstance(value, str):
            raise ConfigurationError("HITHERTO['INLINE'] is a str: give a list of dotted paths")
        return [_object(key, each) for each in value]
    if key == "LOGGER" and isinstance(value, str):
        return logging.getLogger(value)
    return _object(key, value) if key in _OBJECTS else value


def _object(key: str, value: Any) -> Any:
    try:
        return _named(value) if isinstance(value, str) else value
    except ImportError as error:
        lacks_it = isinstance(error.__cause__, AttributeError)
        remedy = ", or not yet: it must need no module that calls get_store where it begins"
        told = f"{error}{remedy if lacks_it else ''}"
        raise ConfigurationError(f"HITHERTO[{key!r}]: {told}") from error


@cache
def _named(path: str) -> Any:
    """What all stores of this process have in common: metrics must not be registered twice."""
    found = import_string(path)
    return found() if isinstance(found, type) else found


def _database_url(alias: Any) -> str:
    """The URL of one of `DATABASES`, as it is now: a test runner puts a database in its place."""
    if alias not in list(connections.settings):  # It may be of a type that has no hash.
        raise ConfigurationError(
            f"HITHERTO['DATABASE'] is {alias!r}: DATABASES has {', '.join(connections.settings)}"
        )
    database: Mapping[str, Any] = connections[alias].settings_dict
    options: Mapping[str, Any] = database["OPTIONS"]
    is_postgres = connections[alias].vendor == "postgresql"
    if not is_postgres or not database["NAME"] or "service" in options:
        raise ConfigurationError(
            f"HITHERTO['DATABASE'] is {alias!r}, which is no PostgreSQL database with a NAME: give "
            "a URL in its place, such as sqlite:///events.db, a file of its own"
        )
    user, password, name = (quote(str(database[key]), "") for key in ("USER", "PASSWORD", "NAME"))
    host, ports = str(database["HOST"]), str(database["PORT"])
    query = {key: str(options[key]) for key in _OPTIONS if key in options}
    if host.startswith("/"):
        query["host"], host = host, ""
    if ports and not host:
        query["port"] = ports
    credentials = f"{user}:{password}@" if password else f"{user}@" if user else ""
    where = credentials + (_hosts(host, ports) if host else "")
    return f"postgresql://{where}/{name}" + (f"?{urlencode(query)}" if query else "")


def _hosts(hosts: str, ports: str) -> str:
    names = [f"[{name}]" if ":" in name else name for name in hosts.split(",")]
    numbers = ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    return ",".join(
        f"{name}:{port}" if port else name for name, port in zip(names, numbers, strict=True)
    )


def _check_own_file(url: str) -> None:
    """Refuse a file that Django opens, too.

    hitherto has a SQLite of its own beside Python's. Two in one process do not see each other's
    locks: who closes the file drops those of the other, and commits can be lost.
    """
    if not url.startswith("sqlite:///"):
        return
    file = Path(unquote(url.removeprefix("sqlite:///"))).resolve()
    for alias, database in connections.settings.items():
        same = Path(str(database["NAME"])).resolve() == file
        if same and database["ENGINE"].endswith(("sqlite3", "spatialite")):
            raise ConfigurationError(
                f"HITHERTO['URL'] is the file of DATABASES[{alias!r}], which two copies of SQLite "
                "would damage: give it a file of its own, such as sqlite:///events.db"
            )
