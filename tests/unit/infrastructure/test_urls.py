"""What may be shown of a URL, and which are refused."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitherto import ConfigurationError
from hitherto.infrastructure.urls import check_credentials, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://user:secret@one,two:5433/db", "postgresql://one,two:5433/db"),
        ("postgresql://user:secret@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://[::1],host:1/db", "postgresql://[::1],host:1/db"),
        ("postgresql://user:secret@host:port/db", "postgresql://host:port/db"),
        ("postgresql://user:s[e,c]r:et@host", "postgresql://host"),
        ("postgres://host/db?password=secret", "postgres://host/db"),
        ("postgres://host/db#password=secret", "postgres://host/db"),
        ("postgres://user:secret@/db?host=/run", "postgres:///db"),
        ("postgresql://user:secret@host/db?user=a@b", "postgresql://…"),
        ("postgresql://user:sec@ret@host/db", "postgresql://…"),
        ("postgresql://user:sec@ret?@host/db", "postgresql://…"),
        ("postgresql://user:sec?ret@host/db", "postgresql://…"),
        ("postgresql://user:sec/ret@host/db", "postgresql://…"),
        ("postgresql://user:secret", "postgresql://…"),
        ("postgresql://user:secret/db", "postgresql://…"),
        ("postgresql:user:secret@host", "postgresql:"),
        ("host=db password=secret", "…"),
        ("host=db password=sec:ret", "…"),
        ("host=db password=secret://", "…"),
        ("sqlite:///users.db", "sqlite:///users.db"),
        ("sqlite:////home/ada@work/users.db?key=secret", "sqlite:////home/ada@work/users.db"),
        ("memory:", "memory:"),
        ("secret", "…"),
        ("secret:", "…"),
        ("", "…"),
    ],
)
def test_user_password_and_query_are_left_out(url: str, shown: str) -> None:
    """Of an odd URL nothing is shown, rather than too much."""
    assert without_password(url) == shown


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.text(alphabet="ab1:/?#[]@,%&=;. \\'\"é", max_size=4),
    after=st.text(alphabet="ab1:/?#[]@,%&=;. \\'\"é", max_size=4),
    url=st.sampled_from(
        [
            "postgresql://app:{}@host:5432/db",
            "postgresql://app:{}@one,two/db?sslmode=require",
            "postgresql://host/db?user=app&password={}&sslmode=require",
            "postgresql:app:{}@host/db",
            "app:{}@host/db",
            "host=db password={}",
        ]
    ),
)
def test_whatever_surrounds_a_password_it_is_not_shown(url: str, before: str, after: str) -> None:
    """Percent-encoded or not."""
    shown = without_password(url.format(f"{before}secret{after}"))
    assert "secret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:sec@ret@host/db",
        "postgresql://user:@secret@host/db",
        "postgresql://user:sec/ret@host/db",
        "postgresql://user:sec?ret@host/db",
        "postgresql://user:sec#ret@host/db",
        "postgresql://user:s@c?ret@host/db",
        "postgresql://user:123/secret@host/db",
        "postgresql://host/db?user=me@secret",
    ],
)
def test_an_at_sign_in_an_odd_place_is_refused(url: str) -> None:
    """A driver would take what stands around it for a host or a database, and tell of it."""
    with pytest.raises(ConfigurationError, match="@ as %40") as refused:
        check_credentials(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s%40cr%2Fet@host:5432/db?sslmode=require#there",
        "postgresql://user@one,[::1]:5433/db%40home?application_name=a%40b",
        "postgresql:///db?host=/run",
        "postgres://",
    ],
)
def test_any_other_url_is_left_to_the_driver(url: str) -> None:
    """It knows best."""
    check_credentials(url)
