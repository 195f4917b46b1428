"""`install` in Starlette and FastAPI: what belongs to the application remains its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from examples.fastapi_service.accounts import Account, AccountOpened
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from tests.unit.infrastructure.test_asgi import Answer, ask

from hitherto import (
    AggregateNotFound,
    Batch,
    ConfigurationError,
    Context,
    EventSerializationFailed,
    EventStoreUnavailable,
    HandlerFailed,
    Projection,
    ProjectionWorker,
    Repository,
    connect,
    current_metadata,
    metadata_context,
    on,
)
from hitherto.fastapi import CurrentStore, IdempotencyKey, IfMatch, IfMatchRequired, repository
from hitherto.starlette import get_store, idempotency_key_of, if_match, install


async def fail(request: Request) -> PlainTextResponse:
    raise EventSerializationFailed("a secret of the inside")


async def name(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(current_metadata().correlation_id))


async def check(request: Request) -> PlainTextResponse:
    if_match(request, required=True).check(Account("ann"))
    return PlainTextResponse(str(idempotency_key_of(request)))


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(current_metadata().correlation_id))
    await Repository(websocket.app.state.hitherto, Account).load("nobody")


ROUTES = [Route("/fail", fail), Route("/name", name), Route("/check", check)]


@pytest.fixture
def app() -> Starlette:
    app = Starlette(routes=[*ROUTES, WebSocketRoute("/talk", talk)])
    install(app, connect("memory:"), operations="/ops")
    return app


async def test_the_store_is_open_around_the_applications_own_lifespan(
    tmp_path: Path,
) -> None:
    """Which may use it from its first line to its last, and hands on its state."""
    store = connect(f"sqlite:///{tmp_path / 'accounts.db'}")
    seen: list[str] = []

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        accounts = Repository(store, Account)
        await accounts.save(Account.open("ann", "Ann"))
        yield {"mine": 1}
        seen.append((await accounts.load("ann")).owner)

    app = Starlette(lifespan=own)
    install(app, store)
    async with app.router.lifespan_context(app) as state:
        assert state == {"mine": 1}
    assert seen == ["Ann"]
    with pytest.raises(EventStoreUnavailable, match="closed"):
        await Repository(store, Account).save(Account.open("bob", "Bob"))


async def test_a_worker_that_has_failed_is_told_while_the_service_serves(tmp_path: Path) -> None:
    """And again at the end, by who awaits it."""
    store = connect(f"sqlite:///{tmp_path / 'accounts.db'}")

    class Mistyped(Projection[Any], name="mistyped", tables=["sums"]):
        def setup(self, connection: Any, batch: Batch[Any]) -> None:
            connection.execute("CREATE TABEL sums (n INTEGER)")

        @on
        def opened(self, event: AccountOpened, context: Context[Any]) -> None: ...

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncGenerator[None]:
        worker = ProjectionWorker(store, Mistyped())
        working = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await working

    app = Starlette(lifespan=own)
    install(app, store, operations="/ops")
    with pytest.raises(HandlerFailed, match="TABEL"):
        async with app.router.lifespan_context(app):
            async with asyncio.timeout(30):
                while b"degraded" not in (ready := await ask(app, "/ops/readyz")).body:
                    await asyncio.sleep(0.01)
            assert ready.status == 200
            assert (
                b"the worker of 'mistyped' in this process has ended: HandlerFailed" in ready.body
            )


async def test_an_error_of_the_inside_stays_inside(app: Starlette) -> None:
    """The client gets the framework's 500; the server, and its log, the error."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/fail", "headers": [], "query_string": b""}
    with pytest.raises(EventSerializationFailed):
        await app(scope, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (500, b"Internal Server Error")
    assert Headers(raw=sent[0]["headers"])["x-correlation-id"]


async def test_a_request_is_named_and_its_name_told(app: Starlette) -> None:
    """Where it has none, a new one each time."""
    given = await ask(app, "/name", **{"x-correlation-id": "request-1"})
    assert (given.body, given.headers["x-correlation-id"]) == (b"request-1", "request-1")
    made = [await ask(app, "/name") for _ in range(2)]
    assert len({answer.body for answer in made}) == 2
    assert all(answer.body.decode() == answer.headers["x-correlation-id"] for answer in made)
    assert current_metadata().correlation_id is None


async def test_an_answer_without_headers_tells_its_name(app: Starlette) -> None:
    """ASGI lets an application leave them out."""

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body", "body": b""})

    app.mount("/bare", bare)
    answer = await ask(app, "/bare/", **{"x-correlation-id": "request-1"})
    assert (answer.status, answer.headers["x-correlation-id"]) == (204, "request-1")


async def test_an_application_that_was_given_no_store_says_so() -> None:
    """Such as one that is mounted: the state of the outer one is not its own."""
    with pytest.raises(ConfigurationError, match="no store: call install"):
        await get_store(Request({"type": "http", "app": Starlette()}))


async def test_a_websocket_is_named(app: Starlette) -> None:
    """As a request is; its errors are the server's to tell, for there is no status any more."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    headers = [(b"x-correlation-id", b"talk-1")]
    with pytest.raises(AggregateNotFound):
        await app({"type": "websocket", "path": "/talk", "headers": headers}, receive, send)
    assert sent[1]["text"] == "talk-1"


async def test_starlette_reads_the_headers_too(app: Starlette) -> None:
    """Without FastAPI."""
    assert status(await ask(app, "/check")) == (428, "PreconditionRequired")
    assert status(await ask(app, "/check", **{"if-match": '"3"'})) == (412, "PreconditionFailed")
    named = {"if-match": '"0"', "idempotency-key": "key-1"}
    assert (await ask(app, "/check", **named)).body == b"key-1"


async def test_whoever_watches_finds_the_process_alive(app: Starlette) -> None:
    """Below the path that was given."""
    assert (await ask(app, "/ops/healthz")).status == 200
    bare = Starlette()
    install(bare, connect("memory:"))
    assert (await ask(bare, "/ops/healthz")).status == 404


def test_an_application_has_one_store(app: Starlette) -> None:
    """A second would be opened, but never used."""
    with pytest.raises(ConfigurationError, match="do so once"):
        install(app, connect("memory:"))


async def test_an_application_that_runs_takes_no_store_any_more() -> None:
    """Nobody would open it."""
    running = Starlette(routes=[Route("/name", name)])
    await ask(running, "/name")
    with pytest.raises(ConfigurationError, match="after the application's start"):
        install(running, connect("memory:"))


async def test_fastapi_injects_and_documents() -> None:
    """Stores and repositories, those of the application; headers, as parameters."""
    app, other = FastAPI(), FastAPI()
    accounts = repository(Account)

    async def show(
        store: CurrentStore,
        accounts: Annotated[Repository[Account], Depends(accounts)],
        if_match: IfMatch,
        key: IdempotencyKey,
    ) -> list[Any]:
        return [accounts.store is store, id(accounts), if_match.header, key]

    for each in (app, other):
        install(each, connect("memory:"))
        each.get("/show")(show)

    async def as_ann() -> AsyncGenerator[None]:
        with metadata_context(actor="Ann"):
            yield

    @app.get("/required")
    async def required(if_match: IfMatchRequired) -> None: ...

    @app.get("/actor", dependencies=[Depends(as_ann)])
    async def actor() -> str | None:
        return current_metadata().actor

    headers = {"if-match": '"3"', "idempotency-key": '"k"'}
    first, again, elsewhere = [
        (await ask(each, "/show", **headers)).json for each in (app, app, other)
    ]
    assert (first[0], elsewhere[0], first[2:]) == (True, True, ['"3"', "k"])
    assert first[1] == again[1] != elsewhere[1]
    assert status(await ask(app, "/required")) == (428, "PreconditionRequired")
    assert (await ask(app, "/actor")).json == "Ann"
    shown = app.openapi()["paths"]["/show"]["get"]["parameters"]
    assert {(each["name"].lower(), each["in"]) for each in shown} == {
        ("if-match", "header"), ("idempotency-key", "header"),
    }  # fmt: skip


def status(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]
