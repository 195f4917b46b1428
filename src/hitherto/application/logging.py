"""`log_event`: one event name and key-values a line, through the standard library."""

import logging


def log_event(logger: logging.Logger, level: int, event: str, **values: object) -> None:
    """Log ``event key='value' …``; formatters that know `extra` get the values one by one."""
    if not logger.isEnabledFor(level):
        return
    pairs = "".join([f" {name}={value!r}" for name, value in values.items()])
    extra = {"event": event, **values}
    try:
        logger.log(level, "%s%s", event, pairs, extra=extra, stacklevel=2)
    except KeyError:  # A value is named as one of the record's own, which a factory can add to.
        logger.log(level, "%s%s", event, pairs, stacklevel=2)
