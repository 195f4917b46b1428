"""A password in a URL is told by nobody: no error, no log, no repr, no output."""

import asyncio
import io
import logging
import pprint
import re
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.telling import SECRET, all_logged, all_of

from hitherto import ConfigurationError, HithertoError, Settings, connect
from hitherto.cli.app import run
from hitherto.infrastructure.postgres import PostgresStore

# Of each one the hosts cannot be reached, and something may be wrong besides.
URLS = [
    "postgresql://app:{}@127.0.0.1:1/shop",
    "postgresql://app:\\{}'@nowhere.invalid/shop",
    "postgresql://app:{}@127.0.0.1:1,127.0.0.1:2/shop",
    "postgresql://app:{}@127.0.0.1,127.0.0.1/shop?port=1,2",
    "postgresql://app:{}@127.0.0.1:1,127.0.0.1:2/shop?port=1,2,3",
    "postgresql://app:{}@127.0.0.1:port/shop",
    "postgresql://app:{}@127.0.0.1:99999/shop",
    "postgresql://app:{}@:1/shop",
    "postgresql://app:{}@[::1/shop",
    "postgresql://app:{}@[::1]:1,[/shop",
    "postgresql://app:{}@" + "x" * 64 + ".invalid/shop",
    "postgresql://app:{}@127.0.0.1:1/shop?sslmode=nonsense",
    "postgresql://app:{}@127.0.0.1:1/shop?sslmode=verify-full&sslrootcert=/nowhere",
    "postgresql://app:{}@127.0.0.1:1/shop?sslnegotiation=nonsense",
    "postgresql://app:{}@127.0.0.1:1/shop?target_session_attrs=nonsense",
    "postgresql://app:{}@127.0.0.1:1/shop?nonsense",
    "postgresql://127.0.0.1:1/shop?user=app&password={}",
    "postgresql://127.0.0.1:1/shop?password={}&nonsense",
    "postgresql://app@127.0.0.1:1,127.0.0.1:2/shop?password={}",
    "postgresql://app@127.0.0.1:1/shop?passfile=/nowhere&password={}",
    "postgresql://app@127.0.0.1:1/shop?sslmode=require&sslcert=/nowhere&sslpassword={}",
    "postgresql:///shop?host=127.0.0.1&port=1&password={}",
    "postgresql:///shop?host=/nowhere&password={}",
    "postgresql://app:{}",
    "postgresql://app:{}/shop",
    "postgresql://:{}@127.0.0.1:1",
    "postgresql:app:{}@127.0.0.1:1/shop",
    "postgres+driver://app:{}@127.0.0.1:1/shop",
    "host=127.0.0.1 port=1 user=app password={}",
    "sqlite://app:{}@127.0.0.1/shop",
    "sqlite:app:{}@127.0.0.1/shop",
    "sqlite:///shop.db?password={}",
    "memory:app:{}@127.0.0.1",
    "mysql://app:{}@127.0.0.1/shop",
]
_ODD = "ab1:/?#[]@,%&=;+. \\'\"é\n"


def no_names(*arguments: Any, **options: Any) -> Any:
    """Asking for a host may take seconds where there is no network."""
    if arguments[0] in {"127.0.0.1", "localhost", "::1"}:
        return _getaddrinfo(*arguments, **options)
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


_getaddrinfo = socket.getaddrinfo


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "asyncio")


def refused(url: str) -> HithertoError:
    """What is raised by the attempt to open a store; asyncio tells all that it can."""

    async def opening() -> None:
        async with connect(url, connect_timeout=5):
            pass

    with pytest.raises(HithertoError) as caught:
        asyncio.run(opening(), debug=True)
    return caught.value


@pytest.mark.parametrize("password", [SECRET, f"p%40{SECRET}%2F%3f%zz%"])
@pytest.mark.parametrize("url", URLS)
def test_no_error_and_no_log_of_opening_tells_it(
    url: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with the URL."""
    assert SECRET not in all_of(refused(url.format(password)))
    assert SECRET not in all_logged(caplog.records)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    url=st.sampled_from(
        [
            "postgresql://app:{}@127.0.0.1:1/shop",
            "postgresql://app:{}@127.0.0.1:1,127.0.0.1:2/shop?sslmode=require",
            "postgresql://127.0.0.1:1/shop?user=app&password={}",
            "postgresql://localhost:{}@127.0.0.1:1/shop",
        ]
    ),
    before=st.text(_ODD, max_size=4),
    after=st.text(_ODD, max_size=4),
)
@example(url="postgresql://app:{}@127.0.0.1:1/shop", before="[", after=",]")
@example(url="postgresql://app:{}@127.0.0.1:1/shop", before="@[", after=",]")
@example(url="postgresql://localhost:{}@127.0.0.1:1/shop", before="1/", after="")
def test_nor_whatever_surrounds_it(
    url: str, before: str, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As where somebody forgot to percent-encode it."""
    caplog.clear()
    assert SECRET not in all_of(refused(url.format(before + SECRET + after)))
    assert SECRET not in all_logged(caplog.records)


@pytest.mark.parametrize("url", URLS)
def test_neither_does_a_wrong_setting(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the URL comes from the environment, or beside it something else is wrong."""
    monkeypatch.setenv("DATABASE_URL", url.format(SECRET))
    for wrong in ({"batch_size": 0}, {"timeout": 0}, {"schema": ""}):
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_environment(**wrong) if "schema" not in wrong else connect(**wrong)
        assert SECRET not in all_of(caught.value)


@pytest.mark.parametrize(
    "url", [b"postgresql://app:s3cret@host/db", ["s3cret"], {"password": "s3cret"}]
)
def test_a_url_that_is_no_text_is_told_by_its_type(url: Any) -> None:
    """It may be some class that wraps a secret, or does not."""
    with pytest.raises(ConfigurationError, match=type(url).__name__) as caught:
        Settings(url=url)
    assert SECRET not in all_of(caught.value)


def test_settings_show_their_url_without_it() -> None:
    """To str, repr, pprint and rich."""
    shown = Settings(url=f"postgresql://app:{SECRET}@host/db?password={SECRET}")
    printed = io.StringIO()
    Console(file=printed, width=200).print(shown, [shown], {"settings": shown})
    texts = [
        str(shown),
        f"{shown}",
        f"{[shown]!r}",
        pprint.pformat([shown]),
        printed.getvalue(),
    ]
    assert not [text for text in texts if SECRET in text]
    assert all("postgresql://host/db" in text for text in texts)


async def test_a_store_that_is_not_open_does_not_tell_it() -> None:
    """Neither does its repr, nor its health."""
    url = f"postgresql://app:{SECRET}@127.0.0.1:1/db"
    store = connect(url)
    with pytest.raises(HithertoError) as caught:
        await store.backend.read("a")
    health = await store.health_check()
    assert "127.0.0.1:1/db" in health.problems[0]
    told = [all_of(caught.value), repr(health), repr(store), repr(PostgresStore(url))]
    assert SECRET not in "".join(told)


@pytest.mark.parametrize("url", [*URLS[:4], *URLS[-4:]])
@pytest.mark.parametrize(
    "command",
    [
        ["demo", "--url"],
        ["demo", "--ulr"],
        ["demo"],
        ["demo", "more", "--url"],
        ["verify"],
        ["verify", "--url"],
        ["replay", "--url"],
        ["health", "--url"],
        ["schema", "--backend"],
        ["schema", "--backend="],
        ["schema", "--url="],
        ["--log-level"],
        [],
    ],
    ids=" ".join,
)
def test_the_command_does_not_print_it(
    command: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it should be, and where somebody wrote it by mistake."""
    words = [*command, url.format(SECRET)]
    if command and command[-1].endswith("="):
        words[-2:] = ["".join(words[-2:])]
    assert run(words) != 0
    unwrapped = re.sub(r"[\s│]", "", "".join(capsys.readouterr()))
    assert SECRET not in unwrapped
