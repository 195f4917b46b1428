"""The log, as the command line shows it: on stderr, for people or as JSON."""

import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Literal

import structlog
from rich.console import Console
from structlog.typing import Processor

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@contextmanager
def shown(log_format: LogFormat, level: LogLevel) -> Generator[None]:
    """Show what hitherto logs within the block; several threads may be in one."""
    logger = logging.getLogger("hitherto")
    handler = _Stderr(logger.level, logger.propagate)
    others = [each for each in logger.handlers if isinstance(each, _Stderr)]
    if others:
        handler.before = others[0].before
    handler.setFormatter(_formatter(log_format))
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False  # What a command imports may show the log in its own way, too.
    try:
        yield
    finally:
        logger.removeHandler(handler)
        if not any(isinstance(each, _Stderr) for each in logger.handlers):
            level_before, propagate_before = handler.before
            logger.setLevel(level_before)
            logger.propagate = propagate_before


class _Stderr(logging.Handler):
    """Writes to what is `sys.stderr` then: a progress bar puts something else in its place.

    Attributes:
        before: The logger's level, and whether it propagated, when nothing was shown.
    """

    def __init__(self, level: int, propagate: bool) -> None:  # noqa: FBT001
        super().__init__()
        self.before = level, propagate

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001  # To log must not end what is logged.
            self.handleError(record)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),  # with it the event's name and values, one by one
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(log_format),
        ],
    )


def _renderers(log_format: LogFormat) -> Sequence[Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer()]
    console = Console(stderr=True)
    colors = console.is_terminal and not console.no_color
    return [structlog.dev.ConsoleRenderer(colors=colors, repr_native_str=True)]
