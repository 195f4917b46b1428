"""From a URL and settings to a store; nothing is contacted yet."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from hitherto import (
    ConfigurationError,
    EventSerializationFailed,
    Instrumentation,
    JsonCodec,
    Settings,
    Store,
    connect,
)
from hitherto.application.ports import Backend
from hitherto.application.store import utc_now
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.resilience import Resilient
from hitherto.infrastructure.sqlite import SqliteStore

VARIABLES = (
    "DATABASE_URL",
    "EVENT_STORE_MAX_CONNECTIONS",
    "EVENT_STORE_BATCH_SIZE",
    "EVENT_STORE_SNAPSHOT_THRESHOLD",
)
PACKAGE = "hitherto.infrastructure.postgres"


def behind(store: Store) -> Backend:
    """What does the work of a store."""
    assert isinstance(store.sealed, Resilient)
    return store.sealed.backend


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class TestSettings:
    def test_defaults_hold_where_nothing_is_said(self) -> None:
        """As documented; an empty variable is as good as none."""
        settings = Settings.from_environment(dict.fromkeys(VARIABLES, ""))
        assert settings == Settings() == Settings.from_environment({})
        assert (settings.url, settings.schema) == ("sqlite:///hitherto.db", "public")
        assert (settings.max_connections, settings.batch_size) == (30, 100)
        assert (settings.snapshot_threshold, settings.max_payload) == (100, 1024 * 1024)

    def test_the_environment_goes_before_defaults(self) -> None:
        """Each variable sets its own."""
        values = ("memory:", "1", "2", "3")
        assert Settings.from_environment(dict(zip(VARIABLES, values, strict=True))) == Settings(
            url="memory:", max_connections=1, batch_size=2, snapshot_threshold=3
        )

    def test_arguments_go_before_the_environment(self) -> None:
        """None means: not given. A wrong variable that is not needed does no harm."""
        environment = {"DATABASE_URL": "memory:", "EVENT_STORE_BATCH_SIZE": "many"}
        settings = Settings.from_environment(environment, url=None, batch_size=7)
        assert settings == Settings(url="memory:", batch_size=7)

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read at the call."""
        monkeypatch.setenv("EVENT_STORE_BATCH_SIZE", "9")
        assert Settings.from_environment().batch_size == 9

    @pytest.mark.parametrize("variable", VARIABLES[1:])
    @pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "9999999999"])
    def test_a_wrong_variable_is_refused(self, variable: str, text: str) -> None:
        """The message names it, its value, and what is good."""
        with pytest.raises(ConfigurationError, match=f"{variable}='{text}': give an integer from"):
            Settings.from_environment({variable: text})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_connections", 0),
            ("max_connections", 10_001),
            ("batch_size", 0),
            ("batch_size", "100"),
            ("snapshot_threshold", 0),
            ("snapshot_threshold", 1.5),
            ("max_payload", 0),
            ("max_payload", 2**40),
            ("connect_timeout", 0),
            ("connect_timeout", -1.0),
            ("connect_timeout", float("nan")),
            ("connect_timeout", "5"),
            ("url", Path("users.db")),
            ("url", 3),
        ],
    )
    def test_a_wrong_argument_is_refused(self, name: str, value: Any) -> None:
        """By Settings and by connect."""
        arguments = {name: value}
        with pytest.raises(ConfigurationError, match=f"{name}="):
            Settings(**arguments)
        make: Any = connect
        with pytest.raises(ConfigurationError, match=f"{name}="):
            make(**{"url": "memory:", **arguments})

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("mysql://ada:secret@host/db", "mysql://host/db"),
            ("postgres:ada:secret@host/db", "postgres:"),
            ("sqlite://users.db", "sqlite://users.db"),
            ("users.db", "users.db"),
        ],
    )
    def test_a_wrong_url_names_the_variable_that_it_came_from(
        self, url: str, shown: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its value, but for a password, and what is allowed; an argument goes before it."""
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(
            ConfigurationError, match=f"^DATABASE_URL='{shown}'.*sqlite:///"
        ) as wrong:
            connect()
        assert "secret" not in str(wrong.value)
        with pytest.raises(ConfigurationError, match=f"^url='{shown}'"):
            connect(url)
        assert isinstance(behind(connect("memory:")), MemoryStore)

    def test_their_repr_hides_the_password(self) -> None:
        """It may be logged."""
        shown = repr(Settings(url="postgresql://ada:secret@host/db"))
        assert "secret" not in shown
        assert "url='postgresql://host/db', max_connections=30" in shown


class TestBackends:
    def test_memory_is_a_store_of_its_own(self) -> None:
        """A new one each time."""
        first, second = connect("memory:"), connect("memory:")
        assert isinstance(behind(first), MemoryStore)
        assert behind(first) is not behind(second)

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
    def test_postgresql_has_two_names(self, scheme: str) -> None:
        """Nothing is contacted: there is no such host."""
        assert isinstance(behind(connect(f"{scheme}://nobody.invalid/db")), PostgresStore)

    async def test_an_sqlite_path_may_be_relative_or_absolute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Three slashes or four; escaped characters are decoded."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data").mkdir()
        urls = ["sqlite:///data/a.db", f"sqlite:///{tmp_path}/b.db", "sqlite:///a%20b%3F%23c.db"]
        for url in urls:
            async with connect(url) as store:
                assert isinstance(behind(store), SqliteStore)
        for name in ("data/a.db", "b.db", "a b?#c.db"):
            assert (tmp_path / name).exists()

    async def test_the_default_is_a_file_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or what DATABASE_URL names."""
        monkeypatch.chdir(tmp_path)
        async with connect():
            assert (tmp_path / "hitherto.db").exists()
        monkeypatch.setenv("DATABASE_URL", "memory:")
        assert isinstance(behind(connect()), MemoryStore)

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("mysql://ada:secret@host/db", "'mysql://host/db' is no store's URL"),
            ("users.db", "is no store's URL"),
            ("", "is no store's URL"),
            ("memory:x", "is no store's URL"),
            ("sqlite://users.db", "write sqlite:///relative"),
            ("sqlite://host/users.db", "write sqlite:///relative"),
            ("sqlite:users.db", "write sqlite:///relative"),
            ("sqlite:///", "write sqlite:///relative"),
            ("sqlite:///a.db?mode=ro", "write sqlite:///relative"),
            ("sqlite:///a#b.db", "write .* %23 for #"),
            ("sqlite:///a%00.db", "holds a NUL"),
            ("sqlite:///a%ED%A0%80.db", "holds .* not UTF-8"),
            ("sqlite:///a\ud800.db", "holds .* not UTF-8"),
            ("postgresql://ada%00application_name%00secret@host/db", "holds a NUL"),
            ("postgresql://ada:secret@host/db?application_name=a\0search_path", "holds a NUL"),
            ("postgresql://ada:secret@host/\ud800", "holds .* not UTF-8"),
            ("sqlite://[a/b.db", "write sqlite:///relative"),
            ("sqlite:///:memory:", "use the URL memory:"),
        ],
    )
    def test_any_other_url_is_refused(self, url: str, told: str) -> None:
        """With what to write, and without a password."""
        with pytest.raises(ConfigurationError, match=told) as caught:
            connect(url)
        assert "secret" not in str(caught.value)

    def test_a_missing_driver_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the extra that installs it."""
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "asyncpg", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'hitherto\[postgres\]'"):
            connect("postgresql://host/db")
        connect("memory:")


class TestSurroundings:
    def test_settings_arrive_where_they_are_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The threshold in the store, the limits in the pool."""
        monkeypatch.setenv("EVENT_STORE_SNAPSHOT_THRESHOLD", "7")
        assert connect("memory:").snapshot_threshold == 7
        assert connect("memory:", snapshot_threshold=8).snapshot_threshold == 8
        url = "postgresql://host/db"
        store = connect(
            url, max_connections=3, connect_timeout=4.5, schema="mine", timeout=2, migrate=False,
            breaker_threshold=4, breaker_cooldown=0.5,
        )  # fmt: skip
        resilient: Any = store.sealed
        assert resilient._deadline.seconds == 2
        assert (resilient._breaker._threshold, resilient._breaker._cooldown) == (4, 0.5)
        backend: Any = behind(store)
        assert not backend._schema._may_migrate
        assert (backend._connections._limit, backend._connections._timeout) == (3, 4.5)
        assert backend._schema.name == "mine"

    def test_a_longer_payload_can_be_allowed(self) -> None:
        """Of the default codec; one's own has its own limit."""
        assert connect("memory:", max_payload=2**21).codec.encode("x" * 2**20)
        with pytest.raises(EventSerializationFailed, match="at most 10"):
            connect("memory:", max_payload=10).codec.encode("x" * 10)
        codec = JsonCodec()
        assert connect("memory:", max_payload=10, codec=codec).codec is codec

    def test_what_surrounds_the_store_can_be_given(self) -> None:
        """Clock, ids, hooks and logger."""
        hooks, logger = Instrumentation(), logging.getLogger("mine")
        store = connect(
            "memory:", clock=utc_now, new_id=NotImplemented, instrumentation=hooks, logger=logger
        )
        assert (store.clock, store.new_id) == (utc_now, NotImplemented)
        assert (store.instrumentation, store.logger) == (hooks, logger)
