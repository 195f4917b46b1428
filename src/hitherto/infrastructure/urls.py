"""URLs, which hold passwords: as they may be shown, and which are refused for it."""

import re

from hitherto.errors import ConfigurationError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_OWN_SCHEMES = {"postgresql", "postgres", "sqlite", "memory"}
_HOST = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(:\d*)?")


def without_password(url: str) -> str:
    """The URL without user, password and query; nothing of an odd one, rather than too much."""
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        scheme = url.partition(":")[0]
        return f"{scheme}:" if scheme in _OWN_SCHEMES else "…"
    authority, tail = _divided(rest)
    user, at, hosts = authority.rpartition("@")
    odd = "@" in user or ("@" in tail and scheme != "sqlite")
    if odd or not (at or all(map(_HOST.fullmatch, hosts.split(",")))):
        return f"{scheme}://…"
    return f"{scheme}://{hosts}{re.split('[?#]', tail, maxsplit=1)[0]}"


def check_credentials(url: str) -> None:
    """Refuse a URL of a server of which a part of the password could be taken for something else.

    Raises:
        ConfigurationError: An @ that is not percent-encoded stands elsewhere than before the hosts.
    """
    authority, tail = _divided(url.partition("://")[2])
    if authority.count("@") > 1 or "@" in tail:
        raise ConfigurationError(
            f"the URL {without_password(url)} is wrong: percent-encode special characters in the "
            "user, the password and elsewhere, such as @ as %40 and / as %2F"
        )


def _divided(rest: str) -> tuple[str, str]:
    """What follows the scheme: user, password and hosts, and what follows these."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return authority, rest[len(authority) :]
