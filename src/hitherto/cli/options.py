"""Options that several commands have in common."""

import getpass
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from hitherto.errors import ConfigurationError

Url: TypeAlias = Annotated[
    str | None,
    Parameter(help="The store's URL; by default DATABASE_URL, else sqlite:///hitherto.db."),
]
Schema: TypeAlias = Annotated[
    str,
    Parameter(help="The PostgreSQL schema that holds the tables.", env_var="HITHERTO_SCHEMA"),
]
AsJson: TypeAlias = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print the result as JSON."),
]
Yes: TypeAlias = Annotated[
    bool,
    Parameter(name="--yes", negative="", show_default=False, help="Do it; else it is refused."),
]


def who(by: str | None) -> str:
    """Who does what is accounted for: as ``--by`` says, else the user of the system.

    Raises:
        ConfigurationError: The system has no name for its user, as in a container.
    """
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError) as error:
        raise ConfigurationError("the system has no name for its user: give --by NAME") from error
