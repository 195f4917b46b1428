"""A request to an ASGI application, with no server in between."""

from typing import Any


async def status(app: Any, path: str) -> int:
    """The status of the answer to a GET."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return int(sent[0]["status"])
