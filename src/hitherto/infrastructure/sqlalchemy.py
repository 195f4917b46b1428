"""`SqlAlchemyTransactions`: a projection's effects through sessions of SQLAlchemy 2."""

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from hitherto.application.checkpoints import Progress, Work
from hitherto.infrastructure.postgres.encoding import progress_json
from hitherto.infrastructure.postgres.errors import reading, translated
from hitherto.infrastructure.postgres.lending import Lent
from hitherto.infrastructure.postgres.schema import Schema
from hitherto.infrastructure.taking_part import ADVANCE, opened, see_written

_WHERE = "the database of SqlAlchemyTransactions"


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
        self._advance = text(Schema(schema).sql(ADVANCE.replace("{progress}", ":progress")))

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        with reading(_WHERE), translated(_WHERE, DBAPIError, PoolTimeout):
            async with self._sessions() as session:
                connection = await session.connection()
                lent = Lent(
                    session,
                    repr(progress.generation.name),
                    where=_WHERE,
                    patience=progress.lease,
                    check=session.flush,
                    is_cut=lambda _: connection.invalidated,
                )
                with lent.blamed():
                    await session.execute(text(opened(progress.lease)))
                    if work is not None:
                        await lent.run(work)
                    moved = await session.execute(
                        self._advance, {"progress": progress_json(progress)}
                    )
                    see_written(moved.first())
                    await session.commit()
