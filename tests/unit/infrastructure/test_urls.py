"""What may be shown of a URL."""

import pytest

from hitherto.infrastructure.urls import without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://user:sec@ret@host/db", "postgresql://host/db"),
        ("postgresql://user:secret@one,two:5433/db", "postgresql://one,two:5433/db"),
        ("postgres://host/db?password=secret", "postgres://host/db"),
        ("postgres://user:secret@/db?host=/run", "postgres:///db"),
        ("postgresql://user:sec?ret@host/db", "postgresql://…"),
        ("postgresql:user:secret@host", "postgresql:"),
        ("sqlite:///users.db", "sqlite:///users.db"),
        ("memory:", "memory:"),
        ("secret", "secret:"),
        ("", ":"),
    ],
)
def test_user_password_and_query_are_left_out(url: str, shown: str) -> None:
    """Of an odd URL nothing is shown, rather than too much."""
    assert without_password(url) == shown
