"""What transactions have in common that are not the store's own: a step of a worker is in them."""

OPEN = """SELECT set_config('idle_in_transaction_session_timeout', '{milliseconds}', true),
                 set_config('hitherto.step', 'open', true)"""
"""A worker that is frozen holds its locks no longer than its lease. The mark ends with them."""

ADVANCE = """SELECT {schema}.advance_projection(CAST({progress} AS jsonb))
             WHERE current_setting('hitherto.step', true) = 'open'"""
"""The step's last statement; it gives no row in another transaction than the one that was begun."""

_LONGEST = 2**31 - 1  # milliseconds


def opened(lease: float) -> str:
    """The step's first statement."""
    return OPEN.replace("{milliseconds}", str(min(max(round(lease * 1000), 1), _LONGEST)))


def see_written(row: object) -> None:
    """Look at what `ADVANCE` gave.

    Raises:
        RuntimeError: The transaction is over.
    """
    if row is None:
        raise RuntimeError("it ended its transaction, or each of its statements is one")
