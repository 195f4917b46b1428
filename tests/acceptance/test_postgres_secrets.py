"""A password in a URL is told by nobody, whatever a server says to it."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.postgres_writers import an_append
from tests.servers import PostgresCluster, start_cluster
from tests.telling import SECRET, all_logged, all_of

from hitherto import EventStoreError, EventStoreUnavailable, connect
from hitherto.cli.app import run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def strict() -> Iterator[PostgresCluster]:
    """A server that asks for passwords over TCP; the right one is secret, too."""
    cluster = start_cluster()
    sql = f"ALTER ROLE postgres PASSWORD 'right {SECRET}'"
    cluster.run("psql", "-Xqd", cluster.url(), "-c", sql)
    (cluster.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    cluster.control("reload")
    yield cluster
    cluster.stop()


@pytest.fixture(autouse=True)
def _loud(caplog: pytest.LogCaptureFixture) -> None:
    for logger in ("", "asyncio", "hitherto"):
        caplog.set_level(logging.DEBUG, logger)


def with_password(cluster: PostgresCluster, password: str, database: str = "postgres") -> str:
    """The URL of a database."""
    return cluster.url(database).replace("postgres@", f"postgres:{password}@")


@pytest.fixture(params=["in the URL", "encoded", "in the query", "environment", "file", "hosts"])
def wrong(
    request: pytest.FixtureRequest,
    strict: PostgresCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A URL with a wrong password, which comes from here or there."""
    url = strict.url()
    match request.param:
        case "in the URL":
            return with_password(strict, SECRET)
        case "encoded":
            return with_password(strict, f"%40{SECRET}%2f%zz%")
        case "in the query":
            return f"{url}?password={SECRET}&application_name=shop"
        case "environment":
            monkeypatch.setenv("PGPASSWORD", SECRET)
            return url
        case "file":
            file = tmp_path / "passwords"
            file.write_text(f"127.0.0.1:*:*:postgres:{SECRET}\n")
            file.chmod(0o600)
            return f"{url}?passfile={file}"
        case _:
            here = f"@127.0.0.1:{strict.port}"
            return with_password(strict, SECRET).replace(here, f"{here},127.0.0.1:1")


async def test_a_wrong_one_is_not_told(wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server names the user."""
    asyncio.get_running_loop().set_debug(True)
    with pytest.raises(EventStoreUnavailable, match="password authentication failed") as refused:
        async with connect(wrong):
            pass
    assert SECRET not in all_of(refused.value)
    assert SECRET not in all_logged(caplog.records)


@pytest.mark.parametrize(
    "rest",
    [
        "missing",
        "postgres?nonsense=1",
        "postgres?statement_timeout=soon",
        "postgres?sslmode=require",
        "postgres?options=-cnonsense",
        "postgres?target_session_attrs=standby",
    ],
)
async def test_the_right_one_is_not_told_where_something_else_is_wrong(
    rest: str, strict: PostgresCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """As a setting that the server does not know."""
    asyncio.get_running_loop().set_debug(True)
    with pytest.raises(EventStoreError) as refused:
        async with connect(with_password(strict, f"right%20{SECRET}", rest)):
            pass
    assert SECRET not in all_of(refused.value)
    assert SECRET not in all_logged(caplog.records)


async def test_an_outage_does_not_tell_it(
    strict: PostgresCluster, postgres_schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the retries, nor the circuit breaker, nor the health check."""
    asyncio.get_running_loop().set_debug(True)
    url = with_password(strict, f"right%20{SECRET}")
    async with connect(
        url, schema=postgres_schema, timeout=1, breaker_threshold=1, breaker_cooldown=0.1
    ) as store:
        append = an_append("a")
        await store.backend.append([append])
        await asyncio.to_thread(strict.control, "stop", "-m", "immediate")
        try:
            told = []
            for _ in range(2):  # into the deadline, and by the breaker
                with pytest.raises(EventStoreUnavailable) as refused:
                    await store.backend.append([append])
                told.append(all_of(refused.value))
            told.append(repr(await store.health_check()))
        finally:
            await asyncio.to_thread(strict.start)
        assert not [text for text in told if SECRET in text]
        logged = all_logged(caplog.records)
        assert "call_retried" in logged
        assert "breaker_open" in logged
        assert SECRET not in logged


@pytest.mark.parametrize("password", [SECRET, f"right%20{SECRET}"])
@pytest.mark.parametrize(
    "command", ["health", "verify", "replay hitherto.examples.traffic_fines:Fine"]
)
def test_the_command_does_not_print_it(
    command: str, password: str, strict: PostgresCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Be it wrong or right."""
    words = [*command.split(), "--url", with_password(strict, password), "--schema", "none"]
    assert run(["--log-level", "debug", *words]) == 1
    printed = "".join(capsys.readouterr())
    assert str(strict.port) in printed or "'none'" in printed
    assert SECRET not in "".join(printed.split())
