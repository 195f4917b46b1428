"""A wrong command line, told without the URLs in it, which may hold a password."""

from typing import Any

from cyclopts import CycloptsError, CycloptsPanel


def complaint(error: CycloptsError) -> Any:
    """What Cyclopts shows of an error, but for the words that look like more than a name."""
    text = str(error)
    words = list(error.root_input_tokens or ())
    words += [word.partition("=")[2] for word in words]
    for word in sorted(words, key=len, reverse=True):
        if not set("@:=").isdisjoint(word):
            text = text.replace(word, "…").replace(repr(word)[1:-1], "…")
    return CycloptsPanel(text)
