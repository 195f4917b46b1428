"""One connection to one host."""

import re
import socket
import ssl
from typing import Any

import asyncpg

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.postgres.tls import unusable_files
from hitherto.infrastructure.urls import without_password

# Seconds of silence until the other end is asked, seconds between further questions, how many of
# these, and milliseconds that what was sent may go unconfirmed.
_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000,
}  # fmt: skip


def hosts(url: str) -> list[str]:
    """A URL for each host."""
    scheme, _, rest = url.partition("://")
    authority, *_ = re.split("[/?#]", rest, maxsplit=1)
    user, at, names = authority.rpartition("@")
    tail = rest[len(authority) :]
    if "," not in names or "port=" in tail:  # then the ports are listed in the query
        return [url]
    return [f"{scheme}://{user}{at}{name}{tail}" for name in names.split(",")]


async def connect_to(url: str, **options: Any) -> Any:
    """A connection to one host.

    Raises:
        ConfigurationError: The URL, or a file that it names, cannot be used.
    """
    where = without_password(url)
    connection = None
    try:
        connection = await asyncpg.connect(url, **options)
    except OSError as error:  # first, for that of a certificate is a ValueError, too
        of_files = isinstance(error, FileNotFoundError | PermissionError | ssl.SSLError)
        problem = unusable_files(url) if of_files else None
        if problem is None:
            raise
        raise ConfigurationError(f"the URL {where} is wrong: {problem}") from error
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"the URL {where} is wrong: {error}") from error
    except (ValueError, OverflowError):
        pass  # Its text may quote a part of the password: it must not even be the context.
    if connection is None:
        raise ConfigurationError(
            f"the URL {where} is wrong: check hosts and ports, and percent-encode "
            "special characters in the user and the password"
        )
    _notice_dead_peers(connection)
    return connection


def _notice_dead_peers(connection: Any) -> None:
    """Let the system break a connection whose other end is gone without a word.

    A slow answer does not count: it is the other machine that has to confirm what it was sent.
    """
    sock = connection._transport.get_extra_info("socket")
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not everywhere
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
