"""Everything that an error and the logs tell, to look for what they should not."""

import logging
import traceback

SECRET = "s3cret"


def all_of(error: BaseException) -> str:
    """The traceback that a log shows, and each error of its chain with what it holds."""
    parts = traceback.format_exception(error)
    seen: list[BaseException] = []
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or link in seen:
            continue
        seen.append(link)
        parts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        links += [link.__cause__, link.__context__]  # some reporters show one that is suppressed
    return "\n".join(parts)


def all_logged(records: list[logging.LogRecord]) -> str:
    """The records' texts, arguments and extra values, tracebacks included."""
    formatter = logging.Formatter()
    return "\n".join(f"{formatter.format(record)} {vars(record)}" for record in records)
