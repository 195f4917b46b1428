"""`operations_app`: a store's health and metrics over HTTP, for any ASGI server or framework."""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from hitherto.application.health import Health

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_RETRY_AFTER = 5  # seconds
_TEXT, _JSON = b"text/plain; charset=utf-8", b"application/json"


class HasHealth(Protocol):
    """What can tell how it is: a store or a repository, also one of `hitherto.sync`."""

    def health_check(self) -> Health | Awaitable[Health]:
        """How it is."""
        ...


def operations_app(
    store: HasHealth, *, registry: "CollectorRegistry | None" = None, timeout: float = 5.0
) -> Application:
    """An ASGI application for those who watch a process; mount it where only they can reach it.

    ``/healthz`` answers 200 for as long as the process does, and never asks the store: a database
    that is down is no reason to restart. ``/readyz`` answers with the report of the store's
    `health_check`, 200 or, while it is unhealthy, 503. ``/metrics`` is what Prometheus scrapes.

    Args:
        store: What is watched. It is opened and closed by its owner.
        registry: Where the metrics are; prometheus-client's own if left out.
        timeout: Seconds that ``/readyz`` waits for the store.
    """
    readiness = _Readiness(store, timeout)
    routes: dict[str, Application] = {
        "/healthz": _alive,
        "/readyz": readiness,
        "/metrics": _metrics(registry),
    }

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            route = routes.get(_path(scope))
            if route is None:
                await _respond(send, 404, f"there are {', '.join(routes)}\n".encode())
            elif scope["method"] == "GET":
                await route(scope, receive, send)
            elif scope["method"] == "HEAD":
                await route(scope, receive, _without_body(send))
            else:
                await _respond(send, 405, b"GET it\n", allow="GET, HEAD")

    return app


class _Readiness:
    """Asks a store how it is, once for all who ask meanwhile: a slow one gets no further load."""

    def __init__(self, store: HasHealth, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._checking: asyncio.Task[Health] | None = None

    async def __call__(self, _scope: Message, _receive: Receive, send: Send) -> None:
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        try:
            report = await asyncio.wait_for(asyncio.shield(self._checking), self._timeout)
        except TimeoutError:
            problem = f"the store has not told its state within {self._timeout:g} s"
            body = msgspec.json.encode({"status": "unhealthy", "problems": [problem]})
            await _respond(send, 503, body, _JSON, retry_after=_RETRY_AFTER)
            return
        body = msgspec.json.encode(report)
        if report.status == "unhealthy":
            await _respond(send, 503, body, _JSON, retry_after=_RETRY_AFTER)
        else:
            await _respond(send, 200, body, _JSON)

    async def _check(self) -> Health:
        if inspect.iscoroutinefunction(self._store.health_check):
            return cast("Health", await self._store.health_check())
        found = await asyncio.to_thread(self._store.health_check)
        return await found if inspect.isawaitable(found) else found


async def _alive(_scope: Message, _receive: Receive, send: Send) -> None:
    await _respond(send, 200, b"alive\n")


def _metrics(registry: "CollectorRegistry | None") -> Application:
    try:
        library: Any = importlib.import_module("prometheus_client")
    except ModuleNotFoundError:
        return _no_metrics
    return cast("Application", library.make_asgi_app(registry or library.REGISTRY))


async def _no_metrics(_scope: Message, _receive: Receive, send: Send) -> None:
    told = b"the metrics need prometheus-client: pip install 'hitherto[prometheus]'\n"
    await _respond(send, 404, told)


def _path(scope: Message) -> str:
    """The path below where the application is mounted; servers give it with or without that.

    Where they leave out what is before all of an outer application (FastAPI's ``root_path``),
    the path begins with the last part of it.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    while root:
        if path.startswith(f"{root}/"):
            return path.removeprefix(root)
        _, slash, rest = root[1:].partition("/")
        root = slash + rest
    return path


async def _live(receive: Receive, send: Send) -> None:
    """Nothing to start or stop; a server wants to be told so."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _respond(
    send: Send, status: int, body: bytes, content_type: bytes = _TEXT, **headers: object
) -> None:
    named = [
        (name.replace("_", "-").encode(), str(value).encode()) for name, value in headers.items()
    ]
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *named,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
