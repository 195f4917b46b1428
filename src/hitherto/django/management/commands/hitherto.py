"""``manage.py hitherto``: the command line, with the project's store."""

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hitherto.cli.connecting import giving
from hitherto.cli.entry import main
from hitherto.connect import _VARIABLES
from hitherto.django.configuration import connect_arguments

_SCHEMA = "HITHERTO_SCHEMA"
_ITS_OWN = {"url", "schema", "migrate", "inline"}


class Command(BaseCommand):
    """Hands its words over; Django's own options come before them."""

    help = "Run a command of hitherto on the project's store, such as: manage.py hitherto health"
    requires_system_checks: tuple[str, ...] = ("hitherto",)  # pyright: ignore[reportIncompatibleVariableOverride]

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand`, as for what follows."""
        parser.add_argument("words", nargs=argparse.REMAINDER, help="The command and its options.")

    def handle(self, *_arguments: Any, words: list[str], **_options: Any) -> None:
        """Run it; exit with its status where that is not 0."""
        arguments = connect_arguments()
        given = {name: each for name, each in arguments.items() if name not in _ITS_OWN}
        with _environment(arguments), giving(given):
            status = main(words or ["--help"])
        if status:
            sys.exit(status)


@contextmanager
def _environment(arguments: dict[str, Any]) -> Generator[None]:
    """The settings where the command line looks for them."""
    variables = {**_VARIABLES, "schema": _SCHEMA}
    given = {
        variable: str(arguments[name]).lower() if name == "hash_chain" else str(arguments[name])
        for name, variable in variables.items()
        if arguments.get(name) is not None
    }
    before = {variable: os.environ.get(variable) for variable in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value
