"""hitherto in Starlette and FastAPI: `install` opens the store, tells errors, correlates.

::

    app = FastAPI()
    install(app, connect(), operations="/ops")

See `hitherto.fastapi` for what FastAPI injects.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from hitherto.application.repository import Repository
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.metadata import metadata_context
from hitherto.errors import ConfigurationError, HithertoError
from hitherto.infrastructure.asgi import operations_app
from hitherto.infrastructure.http import (
    CORRELATION_HEADER,
    InvalidHeader,
    Precondition,
    PreconditionFailed,
    PreconditionRequired,
    correlation_id,
    etag,
    idempotency_key,
    problem_of,
)

try:
    from starlette.applications import Starlette
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "hitherto.starlette needs Starlette: pip install 'hitherto[starlette]'"
    ) from _error

__all__ = [
    "Correlating",
    "InvalidHeader",
    "Precondition",
    "PreconditionFailed",
    "PreconditionRequired",
    "etag",
    "get_store",
    "idempotency_key_of",
    "if_match",
    "install",
    "repository",
]

A = TypeVar("A", bound=Aggregate[Any])


def install(app: Starlette, store: Store, *, operations: str | None = None) -> None:
    """Make an application work with a store; call it before the application starts.

    The store is opened before the application's own lifespan, which may use it, and closed after
    that. Errors of hitherto that concern a client become problem details (RFC 9457); all others
    remain what the framework makes of any exception, a 500 that tells nothing. What is saved
    during a request has its correlation id, see `Correlating`.

    Args:
        app: A Starlette or FastAPI application.
        store: Not open yet.
        operations: A path below which ``/healthz``, ``/readyz`` and ``/metrics`` answer, which
            only your own machines should reach; None: nowhere.

    Raises:
        ConfigurationError: The application has a store already, or has been started.
    """
    if hasattr(app.state, "hitherto"):
        raise ConfigurationError("install was called before for this application: do so once")
    if app.middleware_stack is not None:
        raise ConfigurationError("install was called after the application's start: do so before")
    app.state.hitherto = store
    own = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncGenerator[Any]:
        async with store, own(running) as state:
            yield state

    app.router.lifespan_context = lifespan
    app.add_exception_handler(HithertoError, _tell)
    _enclose(app)
    if operations is not None:
        app.mount(operations, operations_app(store))


async def get_store(connection: HTTPConnection) -> Store:
    """The store that was given to `install`; a dependency.

    Raises:
        ConfigurationError: None was given for this application, which may be mounted in another.
    """
    store: Store | None = getattr(connection.app.state, "hitherto", None)
    if store is None:
        raise ConfigurationError(
            "this application has no store: call install(app, store), or, where it is mounted in "
            "one that has, make it a router of that one"
        )
    return store


def repository(
    aggregate: Callable[[str], A], **options: Any
) -> Callable[[HTTPConnection], Awaitable[Repository[A]]]:
    """A dependency that gives the repository of a kind of aggregate.

    ::

        Users = Annotated[Repository[User], Depends(repository(User))]

    Args:
        aggregate: The aggregate class, or an instance of a `Decider`.
        options: See `Repository`.
    """
    made: Repository[A] | None = None

    async def get_repository(connection: HTTPConnection) -> Repository[A]:
        nonlocal made
        store = await get_store(connection)
        if made is None or made.store is not store:
            made = Repository(store, aggregate, **options)
        return made

    return get_repository


def if_match(connection: HTTPConnection, *, required: bool = False) -> Precondition:
    """What the request's If-Match expects; see `Precondition`.

    Raises:
        InvalidHeader: It is no list of entity tags; a 400.
        PreconditionRequired: There is none, but there has to be; a 428.
    """
    return Precondition.of(connection.headers.getlist("if-match"), required=required)


def idempotency_key_of(connection: HTTPConnection) -> str | None:
    """The request's Idempotency-Key, an id for `CommandBus.send`; None: it has none.

    Put the sender's name in front where two senders could choose the same.

    Raises:
        InvalidHeader: It cannot be one; a 400.
    """
    return idempotency_key(connection.headers.get("idempotency-key"))


class Correlating:
    """ASGI middleware: what is saved during a request has the request's correlation id.

    It is that of ``X-Correlation-ID``, else the trace's of ``traceparent``, else a new one; the
    answer tells it in ``X-Correlation-ID``. One that is no plain name of at most 128 characters is
    replaced.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a websocket; let the lifespan pass."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = correlation_id(headers.get(CORRELATION_HEADER), headers.get("traceparent"))

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])  # ASGI lets them be left out.
                MutableHeaders(scope=message)[CORRELATION_HEADER] = name
            await send(message)

        with metadata_context(correlation_id=name):
            await self._app(scope, receive, send_named)


def _enclose(app: Starlette) -> None:
    """Correlate around all, so that a 500 tells its name: that is made outside of middleware."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Correlating(build())  # type: ignore[method-assign]


async def _tell(request: Request, error: Exception) -> Response:
    if not isinstance(error, HithertoError) or request.scope["type"] != "http":
        raise error
    conditional = not {"if-match", "if-none-match"}.isdisjoint(request.headers.keys())
    store = await get_store(request)
    problem = problem_of(error, store.logger, conditional=conditional)
    if problem is None:
        raise error
    return Response(problem.body, problem.status, problem.headers)
