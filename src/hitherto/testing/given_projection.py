"""`GivenProjection`: a projection that was given events, and the view that it has made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

import msgspec

from hitherto.application.projection import Projection, batch_of, stored_nowhere
from hitherto.application.readers import (
    DOCUMENTS,
    TOTALS,
    Amounts,
    Key,
    decode_amounts,
    summed,
)
from hitherto.domain.recorded import RecordedEvent
from hitherto.testing.handlers_connection import blocking, connection_to
from hitherto.testing.telling import check_raised, check_same
from hitherto.testing.timeline import Happening, Timeline
from hitherto.testing.unasked import asked, raised

D = TypeVar("D")

_decode_key = msgspec.json.Decoder(list[Any]).decode


class GivenProjection:
    """A projection, its tables and its documents; each `when` is one transaction.

    Handlers run as a worker runs them, on the event loop of `hitherto.sync`.

    Attributes:
        error: What the last `when` raised.
    """

    def __init__(self, projection: Projection[Any], timeline: Timeline, *, url: str | None) -> None:
        projection.check()
        self._error: Exception | None = None
        self._projection = projection
        self._timeline = timeline
        self._documents: dict[tuple[str, str], str] = {}
        self._connection = connection_to(url)
        blocking(self._set_up)

    @property
    def error(self) -> Exception | None:
        """What the last `when` raised."""
        return asked(self._error)

    def when(self, *happening: Happening) -> Self:
        """Handle events, in this order and all at once; those of other classes are passed over.

        Args:
            happening: Events, ``(aggregate id, event)`` for another aggregate than that of the
                test, a `RecordedEvent`, or a `timedelta` by which the later ones are later.
        """
        self._error = None
        asked = self._projection.events
        events: list[RecordedEvent[Any]] = []
        for each in happening:
            if isinstance(each, timedelta):
                self._timeline.clock.advance(each)
                continue
            recorded = self._timeline.recorded(each)
            if asked is None or type(recorded.event) in asked:
                events.append(recorded)
        try:
            blocking(lambda: self._handle(events))
        except Exception as error:  # noqa: BLE001  # then_raises looks at it
            self._error = raised(self._who, error)
        return self

    def then_table(self, name: str, *rows: Sequence[object]) -> Self:
        """Check that a table has exactly these rows, in whatever order, of all columns.

        Raises:
            AssertionError: It has others, or a handler raised.
        """
        self._check_no_error()
        found = blocking(lambda: self._connection.rows(name))
        expected, actual = Counter(map(tuple, rows)), Counter(found)
        lines = [f"missing:      {row!r}" for row in (expected - actual).elements()]
        lines += [f"not expected: {row!r}" for row in (actual - expected).elements()]
        if lines:
            raise AssertionError("\n  ".join([f"{self._who}: table {name} differs", *lines]))
        return self

    def then_raises(self, error: type[Exception], *, match: str | None = None) -> Self:
        """Check that a handler raised `error`; then nothing of that `when` is there.

        Args:
            error: The class of the error.
            match: A regular expression that is to be found in its message.

        Raises:
            AssertionError: It raised nothing or something else.
        """
        check_raised(self._who, self.error, error, match, "handled:  all of the events")
        return self

    async def _set_up(self) -> None:
        batch = self._batch()
        result = self._projection.setup(self._connection.raw, batch)
        if result is not None:
            await result

    async def _handle(self, events: Sequence[RecordedEvent[Any]]) -> None:
        if not events:
            return
        batch = self._batch()
        await self._projection.gather(events, batch, self._read)
        batch.connection = None if self._projection.elsewhere else self._connection.raw
        async with self._connection.transaction():
            result = self._projection.handle(events, batch)
            if result is not None:
                await result
        for each in batch.documents:
            place = each.collection, each.key
            self._documents.pop(place, None)
            if each.data is not None:
                self._documents[place] = each.data

    async def _read(self, collection: str, _: int, keys: Sequence[str]) -> Mapping[str, str]:
        places = {key: self._documents.get((collection, key)) for key in keys}
        return {key: data for key, data in places.items() if data is not None}

    def _batch(self) -> Any:
        generation = stored_nowhere(self._projection)
        return batch_of(self._projection, generation, None, silent=False)

    def _collection(self, name: str) -> dict[str, str]:
        self._check_no_error()
        return {key: data for (kind, key), data in self._documents.items() if kind == name}

    def _check_no_error(self) -> None:
        if (error := self.error) is not None:
            raise AssertionError(f"{self._who} raised {error!r}") from error

    @property
    def _who(self) -> str:
        return f"projection {self._projection.name!r}"


class GivenDocuments(GivenProjection, Generic[D]):
    """A view of documents."""

    def then_documents(self, expected: Mapping[str, D]) -> Self:
        """Check that there are exactly these documents, by aggregate id, as readers have them.

        Raises:
            AssertionError: There are others, or `evolve` raised.
        """
        view: Any = self._projection
        documents = self._collection(DOCUMENTS)
        found: dict[str, D] = {key: view.decode(data) for key, data in documents.items()}
        check_same(f"{self._who}: the documents differ", dict(expected), found)
        return self


class GivenTotals(GivenDocuments[D]):
    """A view of totals."""

    def then_totals(self, expected: Mapping[Key, Amounts]) -> Self:
        """Check that there are exactly these totals, by key; what comes to 0 is left out.

        Raises:
            AssertionError: There are others, or `evolve` or `amounts` raised.
        """
        found: dict[Key, dict[str, Any]] = {}
        for key, data in self._collection(TOTALS).items():
            found[tuple(_decode_key(key))] = dict(summed([decode_amounts(data)]))
        given = {key: dict(amounts) for key, amounts in expected.items()}
        check_same(f"{self._who}: the totals differ", given, found)
        return self
