"""`DocumentReader` and `TotalsReader`, without await."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hitherto.application.readers import Amounts, Key
from hitherto.application.views import Documents, Totals

if TYPE_CHECKING:
    from hitherto.sync.store import Store

D = TypeVar("D")


class DocumentReader(Generic[D]):
    """Reads the documents of a view, from any thread. See `hitherto.DocumentReader`."""

    def __init__(self, store: "Store", view: type[Documents[D, Any]]) -> None:
        self._store = store
        self._view = view

    def get(self, aggregate_id: str) -> D | None:
        """See `hitherto.DocumentReader.get`."""
        return self._store._run(lambda: self._store._async.documents(self._view).get(aggregate_id))

    def find(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        **equal: Any,
    ) -> dict[str, D]:
        """See `hitherto.DocumentReader.find`."""
        return self._store._run(
            lambda: self._store._async.documents(self._view).find(
                order_by=order_by, descending=descending, limit=limit, **equal
            )
        )


class TotalsReader:
    """Reads the totals of a view, from any thread. See `hitherto.TotalsReader`."""

    def __init__(self, store: "Store", view: type[Totals[Any, Any]]) -> None:
        self._store = store
        self._view = view

    def all(self) -> dict[Key, Amounts]:
        """See `hitherto.TotalsReader.all`."""
        return self._store._run(lambda: self._store._async.totals(self._view).all())

    def get(self, *key: Any) -> Amounts:
        """See `hitherto.TotalsReader.get`."""
        return self._store._run(lambda: self._store._async.totals(self._view).get(*key))
