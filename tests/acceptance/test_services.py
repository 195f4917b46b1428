"""The examples for FastAPI and Django, run as processes and asked over HTTP."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from examples.fastapi_service.accounts import Account
from tests.acceptance.services import Answer, Service, started
from tests.servers import SCHEMA_PREFIX, start_cluster

from hitherto.sync import RecordedEvent, Repository, connect

pytestmark = pytest.mark.integration

_numbers = itertools.count(1)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"{SCHEMA_PREFIX}_service_{next(_numbers)}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name}"))
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.parametrize("kind", ["fastapi", "django-wsgi"])
def test_a_service_on_sqlite(kind: str, tmp_path: Path) -> None:
    """What clients are told, who wins a race, what remains after the end; the view follows."""
    url = f"sqlite:///{tmp_path / 'accounts.db'}"
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(started(kind, url, tmp_path))
        service.wait_until_ready()
        if kind == "django-wsgi":
            stack.enter_context(started("django-worker", url, tmp_path))
        check_conversation(service)
        check_races(service)
        check_view(service)
        check_end(service)


@pytest.mark.parametrize("kind", ["fastapi", "django-asgi"])
def test_a_service_on_postgresql(kind: str, tmp_path: Path, database_url: str) -> None:
    """The same, and under ASGI."""
    with started(kind, database_url, tmp_path) as service:
        service.wait_until_ready()
        check_conversation(service)
        check_races(service)
        check_end(service)


def test_an_outage_is_told_and_passes(tmp_path: Path) -> None:
    """While the server is down, clients are to come back; when it is up, all is as before."""
    cluster = start_cluster()
    try:
        cluster.psql("CREATE DATABASE django")
        with (
            started("fastapi", cluster.url(), tmp_path) as first,
            started("django-asgi", cluster.url("django"), tmp_path) as second,
        ):
            for service in (first, second):
                service.wait_until_ready()
                assert opened(service, "a").status == 201
            cluster.control("stop", "-m", "fast")
            with ThreadPoolExecutor() as pool:
                list(pool.map(check_outage, (first, second)))
            cluster.start()
            for service in (first, second):
                service.wait_until_ready()
                answer = service.ask("POST", "/accounts/a/deposits", {"cents": 5})
                assert (answer.status, answer.body["cents"]) == (200, 5)
                assert service.ask("GET", "/accounts/a").etag == answer.etag
    finally:
        cluster.stop()


def check_conversation(service: Service) -> None:
    """Each answer has the status, the version and the words that it should."""
    made = opened(service, "ann", X_Correlation_ID="request-1")
    assert (made.status, made.etag, made.headers["location"]) == (201, '"1"', "/accounts/ann")
    assert made.headers["x-correlation-id"] == "request-1"

    trace = f"00-{'4bf92f3577b34da6'}{'a3ce929d0e0e4736'}-00f067aa0ba902b7-01"
    for _ in range(2):  # Sent again, it is done once.
        answer = service.ask(
            "POST", "/accounts/ann/deposits", {"cents": 50},
            Idempotency_Key='"key-1"', traceparent=trace, X_Correlation_ID="not a name",
        )  # fmt: skip
        assert (answer.status, answer.etag, answer.body["cents"]) == (200, '"2"', 50)
    stale = withdrawal(service, "ann", 5, If_Match=made.etag)
    assert problem(stale, 412) == ("PreconditionFailed", '"1"', 2)
    assert withdrawal(service, "ann", 5, If_Match=answer.etag).etag == '"3"'

    shown = service.ask("GET", "/accounts/ann")
    assert (shown.status, shown.etag, shown.body) == (200, '"3"', {"owner": "Ann", "cents": 45})
    assert problem(opened(service, "ann"), 409) == ("AggregateVersionConflict", 0, 3)
    assert problem(withdrawal(service, "ann", 46), 422)[0] == "InvalidAggregateState"
    assert problem(withdrawal(service, "ann", -1), 422)[0] == "InvalidInput"
    unstorable = service.ask("POST", "/accounts", {"id": "eve", "owner": "E\0e"})
    assert problem(unstorable, 422)[0] == "InvalidEventData"
    assert unstorable.body["detail"] == "AccountOpened.owner contains a NUL character: leave it out"
    too_long = service.ask("POST", "/accounts", {"id": "eve", "owner": "e" * 1024 * 1024})
    assert problem(too_long, 422)[0] == "InvalidEventData"
    assert problem(withdrawal(service, "bob", 1), 404)[0] == "AggregateNotFound"
    assert problem(service.ask("GET", "/accounts/bob"), 404)[0] == "AggregateNotFound"
    assert problem(withdrawal(service, "ann", 1, If_Match="3"), 400)[0] == "InvalidHeader"

    first, second, third = (recorded.metadata for recorded in history(service, "ann"))
    assert first.correlation_id == "request-1"
    assert (second.correlation_id, second.causation_id) == (trace[3:35], "key-1")
    assert third.correlation_id not in {None, first.correlation_id, second.correlation_id}


def check_races(service: Service) -> None:
    """Of two who have seen the same, one wins, and the other is told."""
    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            name, together = f"race-{number}", threading.Barrier(2)
            racers = [pool.submit(race, service, name, together) for _ in range(2)]
            made, taken = zip(*(racer.result() for racer in racers), strict=True)
            assert (sorted(made), sorted(taken)) == ([201, 409], [200, 412])
            assert len(history(service, name)) == 4


def race(service: Service, name: str, together: threading.Barrier) -> tuple[int, int]:
    """One of the two: opens the account, and withdraws from what both have seen."""
    together.wait()
    made = opened(service, name).status
    service.ask("POST", f"/accounts/{name}/deposits", {"cents": 10})
    together.wait()
    seen = service.ask("GET", f"/accounts/{name}").etag
    together.wait()
    return made, withdrawal(service, name, 5, If_Match=seen).status


def check_view(service: Service) -> None:
    """It shows what was stored, soon after."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        shown = service.ask("GET", "/accounts").body
        if shown.get("race-4") == {"owner": "Ann", "cents": 15}:
            return
        time.sleep(0.02)
    raise AssertionError(f"the view does not follow: {shown}\n{service.log}")


def check_end(service: Service) -> None:
    """Whoever was told that a deposit is stored finds it after SIGTERM; nobody else disturbs."""
    writers = 4
    acknowledged = [0] * writers
    assert opened(service, "end").status == 201

    def write(number: int) -> None:
        while True:
            answer = service.ask("POST", "/accounts/end/deposits", {"cents": 1})
            assert answer.status == 200
            acknowledged[number] += 1

    with ThreadPoolExecutor(writers) as pool:
        writing = [pool.submit(write, number) for number in range(writers)]
        while min(acknowledged) < 5:
            assert not any(each.done() for each in writing), [each.exception() for each in writing]
            time.sleep(0.005)
        service.terminate()
        for each in writing:
            assert isinstance(each.exception(), OSError | ValueError)  # it was cut off
    stored = len(history(service, "end")) - 1
    assert sum(acknowledged) <= stored <= sum(acknowledged) + writers
    assert "Traceback" not in service.log, service.log


def check_outage(service: Service) -> None:
    """A 503 that tells when to come back, and nothing of the inside."""
    with ThreadPoolExecutor() as pool:
        read = pool.submit(service.ask, "GET", "/accounts/a")
        write = pool.submit(service.ask, "POST", "/accounts/a/deposits", {"cents": 5})
    for answer in (read.result(), write.result()):
        assert problem(answer, 503)[0] == "EventStoreUnavailable"
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in str(answer.body)
    assert service.ask("GET", "/ops/readyz").status == 503
    assert service.ask("GET", "/ops/healthz").status == 200
    assert "request_failed status=503" in service.log


def opened(service: Service, name: str, **headers: str) -> Answer:
    return service.ask("POST", "/accounts", {"id": name, "owner": "Ann"}, **headers)


def withdrawal(service: Service, name: str, cents: int, **headers: str) -> Answer:
    return service.ask("POST", f"/accounts/{name}/withdrawals", {"cents": cents}, **headers)


def problem(answer: Answer, status: int) -> tuple[object, object, object]:
    """What the problem tells, after a look at its form."""
    assert (answer.status, answer.body["status"]) == (status, status), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-correlation-id"]
    return answer.body["error"], answer.body.get("expected"), answer.body.get("actual")


def history(service: Service, name: str) -> list[RecordedEvent[Any]]:
    """The events, read by another process."""
    with connect(service.url) as store:
        return Repository(store, Account).history(name)
