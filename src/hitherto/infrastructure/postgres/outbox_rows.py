"""Rows of a table in its outbox: how a trigger writes them, and how they are read."""

from collections.abc import Collection, Sequence

from hitherto.infrastructure.adopting import quoted


def as_json(row: str, columns: Sequence[str], as_text: Collection[str]) -> str:
    """A trigger's row as JSON, with the columns as text whose types cannot read their own JSON."""
    if not as_text:
        return f"row_to_json({row})"
    values = ", ".join(
        f"{row}.{quoted(each)}{'::text' if each in as_text else ''} AS {quoted(each)}"
        for each in columns
    )
    return f"(SELECT row_to_json(told) FROM (SELECT {values}) AS told)"  # noqa: S608


def read_as(column: str, computed: str | None) -> str:
    """What the record `r`, made of such JSON, tells of a column, which may be computed."""
    return f"r.{quoted(column)}" if computed is None else f"({computed}) AS {quoted(column)}"
