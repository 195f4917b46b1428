"""Health and metrics over HTTP: what is asked of the store, and what of a server is assumed."""

import asyncio
import gzip
import json
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from examples.users import User
from prometheus_client import CollectorRegistry

from hitherto import Health, Repository, connect, sync
from hitherto.infrastructure.asgi import Application, operations_app
from hitherto.infrastructure.prometheus import PrometheusInstrumentation

HEALTHY = Health(status="healthy", backend="sqlite", latency=0.001)


class Watched:
    """Answers with a report, after a while; knows how often it was asked."""

    def __init__(self, report: Health = HEALTHY, seconds: float = 0.0) -> None:
        self.report = report
        self.seconds = seconds
        self.asked = 0

    async def health_check(self) -> Health:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return self.report


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Application, path: str, method: str = "GET", root_path: str = "", **headers: str
) -> Answer:
    """One request, as a server makes it."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert [message["type"] for message in rest] == ["http.response.body"]
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, rest[0]["body"])


async def test_a_process_that_answers_is_alive() -> None:
    """The store is not asked: nobody is to restart a process whose database is down."""
    watched = Watched(Health(status="unhealthy", backend="sqlite"))
    answer = await ask(operations_app(watched), "/healthz")
    assert (answer.status, answer.body) == (200, b"alive\n")
    assert watched.asked == 0


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [("healthy", 200, None), ("degraded", 200, None), ("unhealthy", 503, "5")],
)
async def test_a_store_that_serves_is_ready(status: Any, code: int, retry: str | None) -> None:
    """The report is the body. A degraded one serves; after an unhealthy one, ask again later."""
    report = Health(status=status, backend="sqlite", problems=("it is slow",))
    answer = await ask(operations_app(Watched(report)), "/readyz")
    assert answer.status == code
    assert answer.headers.get("retry-after") == retry
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "no-store"
    assert msgspec.json.decode(answer.body, type=Health) == report


async def test_probes_at_once_ask_the_store_once() -> None:
    """Each gets its answer; who comes later asks anew."""
    watched = Watched(seconds=0.02)
    app = operations_app(watched)
    answers = await asyncio.gather(*(ask(app, "/readyz") for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert watched.asked == 1
    await ask(app, "/readyz")
    assert watched.asked == 2


async def test_a_store_that_does_not_answer_is_not_ready() -> None:
    """The probe is told in time; the next ones wait for the same check, and do not add to it."""
    released = asyncio.Event()

    class Stuck(Watched):
        async def health_check(self) -> Health:
            self.asked += 1
            await released.wait()
            return self.report

    watched = Stuck()
    app = operations_app(watched, timeout=0.01)
    for _ in range(3):
        answer = await ask(app, "/readyz")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.json["status"] == "unhealthy"
        assert "within 0.01 s" in answer.json["problems"][0]
    assert watched.asked == 1
    released.set()
    async with asyncio.timeout(30):
        while (await ask(app, "/readyz")).status != 200 or watched.asked < 2:
            await asyncio.sleep(0)


async def test_a_probe_that_gives_up_does_not_end_the_check_of_others() -> None:
    """A server cancels the request of a client that is gone."""
    app = operations_app(Watched(seconds=0.02))
    first, second = (asyncio.create_task(ask(app, "/readyz")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status == 200
    assert first.cancelled()


async def test_a_store_without_await_is_asked_in_a_thread_of_its_own() -> None:
    """So that the server's loop does not stand still, as for Django."""
    with sync.connect("memory:") as store:
        answer = await ask(operations_app(store), "/readyz")
        assert (answer.status, answer.json["backend"]) == (200, "memory")
    asked, released = threading.Event(), threading.Event()

    class Slow:
        def health_check(self) -> Health:
            asked.set()
            return HEALTHY if released.wait(30) else Health(status="unhealthy", backend="slow")

    asking = asyncio.create_task(ask(operations_app(Slow()), "/readyz"))
    while not asked.is_set():
        await asyncio.sleep(0)
    released.set()
    assert (await asking).status == 200


async def test_a_repository_tells_its_store_s_health() -> None:
    """Whatever has a `health_check` can be watched."""
    async with connect("memory:") as store:
        answer = await ask(operations_app(Repository(store, User)), "/readyz")
        assert (answer.status, answer.json["backend"]) == (200, "memory")


@pytest.fixture
def registry() -> CollectorRegistry:
    """With the metrics of one save."""
    registry = CollectorRegistry()
    PrometheusInstrumentation(registry).events_saved("User", 7)
    return registry


SAVED = b'aggregate_events_saved_total{aggregate_type="User"} 7.0'


async def test_the_metrics_of_the_registry_are_there(registry: CollectorRegistry) -> None:
    """In the form that Prometheus asks for."""
    app = operations_app(Watched(), registry=registry)
    answer = await ask(app, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert SAVED in answer.body.splitlines()
    accept = {"accept": "application/openmetrics-text; version=1.0.0", "accept-encoding": "gzip"}
    answer = await ask(app, "/metrics", **accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert SAVED in gzip.decompress(answer.body).splitlines()


async def test_without_prometheus_client_there_are_no_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest works; the answer says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    app = operations_app(Watched())
    answer = await ask(app, "/metrics")
    assert answer.status == 404
    assert b"hitherto[prometheus]" in answer.body
    assert (await ask(app, "/readyz")).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_head_is_answered_without_a_body(path: str, registry: CollectorRegistry) -> None:
    """With the status and the headers of a GET; anything else is not understood."""
    app = operations_app(Watched(), registry=registry)
    got, head = await ask(app, path), await ask(app, path, "HEAD")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")
    refused = await ask(app, path, "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "", "/healthz/", "/HEALTHZ", "/ops/healthz", "/metricsx"])
async def test_other_paths_are_not_found(path: str) -> None:
    """The answer names those that there are."""
    answer = await ask(operations_app(Watched()), path)
    assert answer.status == 404
    assert b"/healthz, /readyz, /metrics" in answer.body


@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        ("/ops", "/ops/healthz"),
        ("/ops/", "/ops/healthz"),
        ("/ops", "/healthz"),
        ("/api/v1/ops", "/api/v1/ops/healthz"),
        ("/api/v1/ops", "/ops/healthz"),
    ],
)
async def test_it_can_be_mounted_anywhere(root_path: str, path: str) -> None:
    """Servers give the path with the prefix or without it."""
    answer = await ask(operations_app(Watched()), path, root_path=root_path)
    assert answer.status == 200


async def test_a_prefix_ends_where_a_segment_ends() -> None:
    """/opsy is not below /ops."""
    assert (await ask(operations_app(Watched()), "/opsy/healthz", root_path="/ops")).status == 404


async def test_a_server_is_told_that_it_may_start_and_stop() -> None:
    """Then the application ends, too."""
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await operations_app(Watched())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_refused() -> None:
    """A browser may try one."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await operations_app(Watched())({"type": "websocket", "path": "/healthz"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


@asynccontextmanager
async def served(app: Application, **options: Any) -> AsyncIterator[str]:
    """The application behind a real server, which insists on the lifespan protocol."""
    config = uvicorn.Config(
        app, port=0, lifespan="on", log_level="warning", access_log=False, **options
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def fetch(url: str) -> tuple[int, bytes]:
    def fetched() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    return await asyncio.to_thread(fetched)


@pytest.mark.parametrize("root_path", ["", "/ops"])
async def test_a_server_serves_a_store(root_path: str, tmp_path: Path) -> None:
    """Alone in its process or below a path; when the store is closed it is not ready any more."""
    registry = CollectorRegistry()
    hooks = PrometheusInstrumentation(registry)
    store = connect(f"sqlite:///{tmp_path}/store.db", instrumentation=hooks)
    app = operations_app(store, registry=registry)
    async with served(app, root_path=root_path) as url:
        async with store:
            await Repository(store, User).save(User.create("user-1", "ada@example.com", "Ada"))
            assert await fetch(f"{url}/healthz") == (200, b"alive\n")
            status, body = await fetch(f"{url}/readyz")
            assert (status, json.loads(body)["status"]) == (200, "healthy")
            status, body = await fetch(f"{url}/metrics")
            assert status == 200
            assert b'aggregate_events_saved_total{aggregate_type="User"} 1.0' in body
        status, body = await fetch(f"{url}/readyz")
        assert (status, json.loads(body)["status"]) == (503, "unhealthy")
        assert (await fetch(f"{url}/healthz"))[0] == 200
        assert (await fetch(f"{url}/other"))[0] == 404
