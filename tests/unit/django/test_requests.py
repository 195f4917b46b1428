"""A request to Django: it is named, and told what went wrong."""

from typing import Any

import pytest
from django.db import connections
from django.test import AsyncClient, Client

from hitherto import current_metadata


@pytest.mark.parametrize("path", ["/named", "/anamed"])
async def test_a_request_is_named_and_its_name_told(path: str) -> None:
    """In views with and without await, under WSGI and ASGI; each new one anew."""
    for answer in (
        Client().get(path, headers={"X-Correlation-ID": "request-1"}) if path == "/named" else None,
        await AsyncClient().get(path, headers={"X-Correlation-ID": "request-1"}),
    ):
        if answer is not None:
            assert (answer.content, answer["X-Correlation-ID"]) == (b"request-1", "request-1")
    made = [await AsyncClient().get(path, headers={"X-Correlation-ID": "<>"}) for _ in range(2)]
    assert len({answer.content for answer in made}) == 2
    assert all(answer.content.decode() == answer["X-Correlation-ID"] for answer in made)
    assert current_metadata().correlation_id is None


@pytest.mark.parametrize("path", ["/missing", "/amissing"])
async def test_an_error_that_concerns_the_client_is_told(path: str) -> None:
    """As problem details, also from an async view."""
    answer = await AsyncClient().get(path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["error"] == "AggregateNotFound"


def test_an_error_of_the_inside_stays_inside() -> None:
    """The client gets Django's 500."""
    answer = Client(raise_request_exception=False).get("/broken")
    assert (answer.status_code, b"secret" in answer.content) == (500, False)


def test_an_async_view_works_under_wsgi_too() -> None:
    """Django makes a loop for each of its requests; each has its store, which is closed."""
    for _ in range(2):
        assert Client().get("/amissing").status_code == 404


def test_whoever_watches_the_process_is_answered() -> None:
    """That it is alive, how the store is, and its metrics."""
    assert Client().get("/ops/healthz").content == b"alive\n"
    ready: Any = Client().get("/ops/readyz")
    assert (ready.status_code, ready.json()["backend"]) == (200, "memory")
    assert b"python_info" in Client().get("/ops/metrics").content
    assert Client().post("/ops/healthz").status_code == 405


def test_whoever_watches_the_process_is_answered_while_djangos_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where each view is a transaction (ATOMIC_REQUESTS), these are none."""
    away = {"ATOMIC_REQUESTS": True, "HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {}}
    for name, value in away.items():
        monkeypatch.setitem(connections.settings["default"], name, value)
    client = Client(raise_request_exception=False)
    assert client.get("/named").status_code == 500
    for name in ("healthz", "readyz", "metrics"):
        assert client.get(f"/ops/{name}").status_code == 200
