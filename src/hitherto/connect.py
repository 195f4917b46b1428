"""`connect`: from a URL and settings to a store."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import unquote

import msgspec

from hitherto.application.codec import MAX_PAYLOAD, JsonCodec
from hitherto.application.ids import time_ordered_id
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.ports import Backend, Clock, Codec, IdFactory, PersonalKeys
from hitherto.application.projection import Projection
from hitherto.application.store import Store, utc_now
from hitherto.errors import ConfigurationError
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.resilience import Resilient
from hitherto.infrastructure.sealing import Sealing
from hitherto.infrastructure.urls import without_password

_VARIABLES = {
    "url": "DATABASE_URL",
    "max_connections": "EVENT_STORE_MAX_CONNECTIONS",
    "batch_size": "EVENT_STORE_BATCH_SIZE",
    "snapshot_threshold": "EVENT_STORE_SNAPSHOT_THRESHOLD",
    "hash_chain": "EVENT_STORE_HASH_CHAIN",
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_RANGES = {
    "max_connections": (1, 10_000),
    "batch_size": (1, 10_000),
    "snapshot_threshold": (1, 1_000_000_000),
    "breaker_threshold": (1, 1_000_000),
    "max_payload": (1, 256 * 1024 * 1024),
}
_URLS = "sqlite:///path, postgresql://…, postgres://… or memory:"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach and use a store.

    Attributes:
        url: ``sqlite:///path``, ``postgresql://…``, ``postgres://…`` or ``memory:``
            (``DATABASE_URL``).
        max_connections: The most connections or reader threads; they are opened on demand
            (``EVENT_STORE_MAX_CONNECTIONS``).
        batch_size: The most appends that share a transaction (``EVENT_STORE_BATCH_SIZE``).
        snapshot_threshold: Events between automatic snapshots
            (``EVENT_STORE_SNAPSHOT_THRESHOLD``).
        schema: The PostgreSQL schema that holds the tables.
        listen_url: Where to LISTEN for appends of other processes, straight at the PostgreSQL
            server, where `url` leads through a pooler.
        connect_timeout: Seconds until a server that does not answer is unavailable.
        timeout: Seconds that one call of the store may take, its retries included.
        breaker_threshold: How many calls in a row must fail until the circuit breaker opens.
        breaker_cooldown: Seconds until it lets a call through, to see.
        migrate: Whether to make or migrate the tables, or only to look whether they are there.
        max_payload: The longest event or snapshot, in bytes of JSON.
        hash_chain: Whether what is appended is put in hash chains, which show what is changed
            later (``EVENT_STORE_HASH_CHAIN``).

    Raises:
        ConfigurationError: A value is out of its range.
    """

    url: str = "sqlite:///hitherto.db"
    max_connections: int = 30
    batch_size: int = 100
    snapshot_threshold: int = 100
    schema: str = "public"
    listen_url: str | None = None
    connect_timeout: float = 10.0
    timeout: float = 30.0
    breaker_threshold: int = 5
    breaker_cooldown: float = 5.0
    migrate: bool = True
    max_payload: int = MAX_PAYLOAD
    hash_chain: bool = False

    def __post_init__(self) -> None:
        for name in _RANGES:
            _check_range(name, getattr(self, name))
        for name in ("connect_timeout", "timeout", "breaker_cooldown"):
            _check_seconds(name, getattr(self, name))
        _check_url("url", self.url)
        if self.listen_url is not None:
            _check_url("listen_url", self.listen_url)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        listen_url = self.listen_url and without_password(self.listen_url)
        shown = {"url": without_password(self.url), "listen_url": listen_url}
        return list({**values, **shown}.items())

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """Settings from environment variables; arguments that are not None win.

        Raises:
            ConfigurationError: A variable or an argument has a wrong value.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            name: _parsed(name, variable, environ[variable])
            for name, variable in _VARIABLES.items()
            if environ.get(variable) and arguments.get(name) is None
        }
        values.update({name: value for name, value in arguments.items() if value is not None})
        return cls(**values)


def connect(
    url: str | None = None,
    *,
    max_connections: int | None = None,
    batch_size: int | None = None,
    snapshot_threshold: int | None = None,
    schema: str | None = None,
    listen_url: str | None = None,
    connect_timeout: float | None = None,
    timeout: float | None = None,
    breaker_threshold: int | None = None,
    breaker_cooldown: float | None = None,
    migrate: bool = True,
    max_payload: int | None = None,
    hash_chain: bool | None = None,
    codec: Codec | None = None,
    clock: Clock = utc_now,
    new_id: IdFactory = time_ordered_id,
    instrumentation: Instrumentation | None = None,
    logger: logging.Logger | None = None,
    inline: Sequence[Projection[Any]] = (),
    keys: PersonalKeys | None = None,
) -> Store:
    """A store; open it with ``async with``.

    Args:
        url: ``sqlite:///path``, ``postgresql://…``, ``postgres://…`` or ``memory:``; left out:
            ``DATABASE_URL``, else ``sqlite:///hitherto.db``.
        max_connections: See `Settings`, as for the next ten; left out: the environment's.
        batch_size: See `Settings`.
        snapshot_threshold: See `Settings`.
        schema: See `Settings`.
        listen_url: See `Settings`.
        connect_timeout: See `Settings`.
        timeout: See `Settings`.
        breaker_threshold: See `Settings`.
        breaker_cooldown: See `Settings`.
        migrate: See `Settings`.
        max_payload: See `Settings`; it applies to the default codec.
        hash_chain: See `Settings`; left out: the environment's.
        codec: How values become JSON text.
        clock: Tells the time of a save, with a time zone.
        new_id: Makes event ids.
        instrumentation: Hooks for metrics and traces.
        logger: Where the store logs; ``logging.getLogger("hitherto")`` if left out.
        inline: Projections whose effects are committed with each append; see `Store`.
        keys: Where the keys of `Personal` fields are; left out: in a table of the store.

    Raises:
        ConfigurationError: The URL or a setting is wrong, or the driver is not installed. The
            server is not contacted yet.
    """
    settings = Settings.from_environment(
        url=url,
        max_connections=max_connections,
        batch_size=batch_size,
        snapshot_threshold=snapshot_threshold,
        schema=schema,
        listen_url=listen_url,
        connect_timeout=connect_timeout,
        timeout=timeout,
        breaker_threshold=breaker_threshold,
        breaker_cooldown=breaker_cooldown,
        migrate=migrate,
        max_payload=max_payload,
        hash_chain=hash_chain,
    )
    hooks = instrumentation or Instrumentation()
    resilient = Resilient(
        _backend(settings, hooks),
        timeout=settings.timeout,
        breaker_threshold=settings.breaker_threshold,
        breaker_cooldown=settings.breaker_cooldown,
        instrumentation=hooks,
        logger=logger,
    )
    return Store(
        Sealing(Chained(resilient) if settings.hash_chain else resilient, keys, logger),
        codec=codec or JsonCodec(max_payload=settings.max_payload),
        clock=clock,
        new_id=new_id,
        instrumentation=hooks,
        logger=logger,
        snapshot_threshold=settings.snapshot_threshold,
        inline=inline,
    )


def _backend(settings: Settings, hooks: Instrumentation) -> Backend:
    scheme = settings.url.partition(":")[0]
    if scheme == "sqlite":
        from hitherto.infrastructure.sqlite import SqliteStore  # noqa: PLC0415

        path = unquote(settings.url.removeprefix("sqlite:///"))
        return SqliteStore(
            path,
            max_readers=settings.max_connections,
            batch_size=settings.batch_size,
            migrate=settings.migrate,
            instrumentation=hooks,
        )
    if scheme == "memory":
        from hitherto.infrastructure.memory import MemoryStore  # noqa: PLC0415

        return MemoryStore()
    return _postgres(settings, hooks)


def _postgres(settings: Settings, hooks: Instrumentation) -> Backend:
    try:
        from hitherto.infrastructure.postgres import PostgresStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'hitherto[postgres]'"
        ) from error
    return PostgresStore(
        settings.url,
        schema=settings.schema,
        listen_url=settings.listen_url,
        max_connections=settings.max_connections,
        connect_timeout=settings.connect_timeout,
        batch_size=settings.batch_size,
        migrate=settings.migrate,
        instrumentation=hooks,
    )


def _parsed(name: str, variable: str, text: str) -> str | int | bool:
    if name == "hash_chain":
        if text.lower() not in _FLAGS:
            raise ConfigurationError(f"{variable}={text!r}: give true or false")
        return _FLAGS[text.lower()]
    if name not in _RANGES:
        _check_url(variable, text)
        return text
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not _in_range(name, value):
        low, high = _RANGES[name]
        raise ConfigurationError(f"{variable}={text!r}: give an integer from {low} to {high}")
    return value


def _check_url(source: str, url: Any) -> None:
    """What can be told of a URL without connecting; `source` is the argument or the variable."""
    if not isinstance(url, str):
        raise ConfigurationError(f"{source}=… is a {type(url).__name__}, not a str: use {_URLS}")
    if not _is_text(url):
        shown = f"={url!r}" if url.startswith("sqlite:") else ""  # Others may hold a password.
        raise ConfigurationError(
            f"{source}{shown} holds a NUL, or what is not UTF-8: write it in UTF-8, percent-encoded"
        )
    if url.startswith("sqlite:"):
        _check_sqlite_url(source, url)
    elif url != "memory:" and not url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(f"{source}={_shown(url)!r} is no store's URL: use {_URLS}")


def _is_text(url: str) -> bool:
    """Whether it is UTF-8 without a NUL, as sent and as decoded by whoever takes it apart."""
    try:
        url.encode()
        return "\0" not in unquote(url, errors="strict")
    except UnicodeError:
        return False


def _check_sqlite_url(source: str, url: str) -> None:
    quoted = url.removeprefix("sqlite:///")
    path = unquote(quoted)
    if quoted == url or not path or {"?", "#"}.intersection(quoted):
        raise ConfigurationError(
            f"{source}={_shown(url)!r}: write sqlite:///relative/path or sqlite:////absolute/path, "
            "without a host and a query, and with %3F for ? and %23 for #"
        )
    if path == ":memory:":
        raise ConfigurationError(f"{source}={url!r}: for a store in memory use the URL memory:")


def _shown(url: str) -> str:
    """A URL that is none of a store's; a mere path helps to see what was meant."""
    harmless = set("@:=?").isdisjoint(url.removeprefix("sqlite:"))
    return url if harmless else without_password(url)


def _check_seconds(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(f"{name}={value!r}: give seconds, a number above 0")


def _check_range(name: str, value: Any) -> None:
    if not isinstance(value, int) or not _in_range(name, value):
        low, high = _RANGES[name]
        raise ConfigurationError(f"{name}={value!r}: give an integer from {low} to {high}")


def _in_range(name: str, value: int) -> bool:
    low, high = _RANGES[name]
    return low <= value <= high
