"""Options that several commands have in common."""

from typing import Annotated, TypeAlias

from cyclopts import Parameter

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
