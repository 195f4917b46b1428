"""hitherto in FastAPI: `install`, and parameters that FastAPI fills and documents.

::

    app = FastAPI()
    install(app, connect(), operations="/ops")
    Users = Annotated[Repository[User], Depends(repository(User))]


    @app.post("/users/{user_id}/name")
    async def rename(user_id: str, name: str, users: Users, if_match: IfMatch) -> None:
        def renamed(user: User) -> None:
            if_match.check(user)
            user.rename(name)

        await users.update(user_id, renamed)
"""

from typing import Annotated, TypeAlias

from hitherto.application.store import Store
from hitherto.infrastructure.http import idempotency_key

try:
    from fastapi import Depends, Header

    from hitherto.starlette import (
        Correlating,
        InvalidHeader,
        Precondition,
        PreconditionFailed,
        PreconditionRequired,
        etag,
        get_store,
        install,
        repository,
    )
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "hitherto.fastapi needs FastAPI: pip install 'hitherto[fastapi]'"
    ) from _error

__all__ = [
    "Correlating",
    "CurrentStore",
    "IdempotencyKey",
    "IfMatch",
    "IfMatchRequired",
    "InvalidHeader",
    "Precondition",
    "PreconditionFailed",
    "PreconditionRequired",
    "etag",
    "get_store",
    "install",
    "repository",
]

_IfMatch: TypeAlias = Annotated[
    list[str] | None,
    Header(description="The ETag of what this was decided on; 412 when it has changed since."),
]
_Key: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Names this request: sent again with the same key it is done once.",
    ),
]


async def _if_match(if_match: _IfMatch = None) -> Precondition:
    return Precondition.of(if_match or ())


async def _if_match_required(if_match: _IfMatch = None) -> Precondition:
    return Precondition.of(if_match or (), required=True)


async def _idempotency_key(key: _Key = None) -> str | None:
    return idempotency_key(key)


CurrentStore: TypeAlias = Annotated[Store, Depends(get_store)]
"""The store that was given to `install`."""

IfMatch: TypeAlias = Annotated[Precondition, Depends(_if_match)]
"""What the request's If-Match expects, if it has one; see `Precondition`."""

IfMatchRequired: TypeAlias = Annotated[Precondition, Depends(_if_match_required)]
"""The same; a request without If-Match is answered by 428."""

IdempotencyKey: TypeAlias = Annotated[str | None, Depends(_idempotency_key)]
"""The request's Idempotency-Key, an id for `CommandBus.send`; None: it has none.

Put the sender's name in front where two senders could choose the same.
"""
