"""`SqlAlchemyTransactions`: a projection's effects through sessions of SQLAlchemy 2."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from hitherto.application.checkpoints import Progress, Work
from hitherto.errors import HithertoError
from hitherto.infrastructure.checkpoints import handler_failed, lease_lost
from hitherto.infrastructure.postgres.encoding import progress_json
from hitherto.infrastructure.postgres.schema import Schema
from hitherto.infrastructure.taking_part import IDLE, LOST, run, unavailable


class SqlAlchemyTransactions:
    """Commits effects and checkpoint in one session of SQLAlchemy, in the store's own database.

    Hand it to a worker; handlers are given the `AsyncSession`::

        sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://…"))
        worker = ProjectionWorker(
            store, Balances(), transactions=SqlAlchemyTransactions(sessions)
        )

    Args:
        sessions: Makes sessions on the database that holds the store's tables, which is
            PostgreSQL.
        schema: The schema of these tables.
    """

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], *, schema: str = "public"
    ) -> None:
        self._sessions = sessions
        query = Schema(schema).sql("SELECT {schema}.advance_projection(CAST(:progress AS jsonb))")
        self._advance = text(query)

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        try:
            async with self._sessions() as session, session.begin():
                idle = IDLE.format(milliseconds=int(progress.lease * 1000))
                await session.execute(text(idle))
                if work is not None:
                    await run(work, session, progress, broken=lambda: False)
                    await session.flush()
                await session.execute(self._advance, {"progress": progress_json(progress)})
        except HithertoError as error:
            cause = error.__cause__
            if isinstance(cause, DBAPIError) and _is_broken(cause):
                raise unavailable(cause) from cause
            raise
        except DBAPIError as error:
            if _state(error) == LOST:
                raise lease_lost(progress.generation) from error
            if _is_broken(error):
                raise unavailable(error) from error
            raise handler_failed(repr(progress.generation.name), error) from error


def _is_broken(error: DBAPIError) -> bool:
    """Whether the connection is gone; or the server, which says so in class 57P or 08."""
    state = _state(error) or ""
    return error.connection_invalidated or state[:3] == "57P" or state[:2] == "08"


def _state(error: DBAPIError) -> str | None:
    """The SQLSTATE, wherever the dialect puts it."""
    origin: Any = error.orig
    found: str | None = getattr(origin, "sqlstate", None)
    return found
