"""URLs as they may be shown."""


def without_password(url: str) -> str:
    """The URL without user, password and query; nothing of an odd one, rather than too much."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.partition(":")[0] + ":"
    before_query, _, query = rest.partition("?")
    if "@" not in before_query and "@" in query:
        return f"{scheme}://…"
    return f"{scheme}://{before_query.rpartition('@')[2]}"
