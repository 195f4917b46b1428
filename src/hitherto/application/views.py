"""Views that need no SQL: `Documents`, one for each aggregate, and `Totals`, grouped by a key."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from hitherto.application.checkpoints import Document
from hitherto.application.live import events_now
from hitherto.application.projection import Batch, Projection, ReadDocuments, Recorded
from hitherto.application.readers import (
    DOCUMENTS,
    TOTALS,
    Amounts,
    Key,
    decode_amounts,
    encode,
    fields_of,
    summed,
)
from hitherto.application.store import Store
from hitherto.domain.definition import base_arguments, is_open
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput

D = TypeVar("D")
E = TypeVar("E", bound=Event)
K = TypeVar("K")

Measured = Mapping[str, Sequence[tuple[Key, Amounts]]]
"""What each aggregate adds to which groups."""

_PLAIN = (str, int, bool, type(None))


class Documents(Projection[Any], Generic[D, E]):
    """A document for each aggregate: the fold of its events, kept as JSON and queryable.

    ::

        class Accounts(Documents[Account, AccountEvent], name="accounts"):
            def evolve(self, document: Account | None, recorded: RecordedEvent[AccountEvent]):
                match recorded.event:
                    case Opened(owner=owner):
                        return Account(owner=owner, balance=Decimal(0))
                    ...

        account = await store.documents(Accounts).get("account-1")

    `D` is the type of the documents, such as a `msgspec.Struct`; `E` is the union of the events.
    Decimals are kept as JSON numbers, so that they can be compared.
    """

    decode: ClassVar[Callable[[str], Any]]
    """Makes a document of its stored text."""

    fields: ClassVar[frozenset[str] | None]
    """The names of a document's fields as they are stored; None: any, as in a dict."""

    def __init_subclass__(cls, **options: Any) -> None:
        arguments = base_arguments(cls, Documents)
        if arguments is not None and not is_open(arguments[1]):
            options.setdefault("events", arguments[1])
            try:
                msgspec.json.schema(arguments[0])
            except TypeError as error:
                raise InvalidInput(
                    f"{cls.__qualname__}: its documents cannot be kept as JSON: {error}"
                ) from None
            cls.fields = fields_of(arguments[0])
            cls.decode = msgspec.json.Decoder(arguments[0]).decode
        super().__init_subclass__(**options)

    def check(self) -> None:
        """See `Projection.check`."""
        if not hasattr(type(self), "decode"):
            raise InvalidInput(
                f"{type(self).__qualname__}: say of what, as in Documents[Account, AccountEvent]"
            )
        if inspect.iscoroutinefunction(self.evolve):
            raise InvalidInput(f"{type(self).__qualname__}.evolve: make it a plain function")

    def evolve(self, document: D | None, recorded: RecordedEvent[E]) -> D | None:
        """The document after an event; None: there is none, or none any more."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method evolve")

    async def fold(self, store: Store) -> dict[str, D]:
        """The documents as they would be now, by aggregate id; nothing is kept.

        Raises:
            EventStoreUnavailable: The store cannot be reached.
        """
        documents: dict[str, D | None] = {}
        async for recorded in events_now(store, self):
            key = recorded.aggregate_id
            documents[key] = self.evolve(documents.get(key), recorded)
        return {key: each for key, each in documents.items() if each is not None}

    async def gather(
        self, events: Sequence[Recorded], batch: Batch[Any], read: ReadDocuments
    ) -> None:
        """See `Projection.gather`."""
        partition_of = batch.generation.partition_of
        ids: dict[int, dict[str, None]] = {}
        for recorded in events:
            ids.setdefault(partition_of(recorded.aggregate_id), {})[recorded.aggregate_id] = None
        before: dict[str, D | None] = {}
        for partition, part in ids.items():
            stored = await read(DOCUMENTS, partition, list(part))
            for key in part:
                before[key] = type(self).decode(stored[key]) if key in stored else None
        was = self._measured(before)  # of now, for `evolve` may change a document in place
        after = dict(before)
        for recorded in events:
            after[recorded.aggregate_id] = self.evolve(after[recorded.aggregate_id], recorded)
        for key, document in after.items():
            data = None if document is None else encode(document).decode()
            batch.documents.append(
                Document(collection=DOCUMENTS, key=key, partition=partition_of(key), data=data)
            )
        await self._book(was, self._measured(after), batch, read)

    def _measured(self, documents: Mapping[str, D | None]) -> Measured:
        """What each document adds to totals."""
        del documents
        return {}

    async def _book(
        self, was: Measured, now: Measured, batch: Batch[Any], read: ReadDocuments
    ) -> None:
        """Write something more, now that documents have changed."""


class Totals(Documents[D, E]):
    """Sums over all aggregates, grouped by a key, kept up to date event by event.

    Each aggregate has a document, as in `Documents`; what it adds to which groups is computed of
    it before and after its events, and the difference is booked::

        class Balances(Totals[Account, AccountEvent]):
            def evolve(self, document, recorded): ...

            def amounts(self, document: Account) -> dict[Key, Amounts]:
                return {(document.branch,): {"accounts": 1, "balance": document.balance}}

        totals = await store.totals(Balances).all()
    """

    def amounts(self, document: D) -> Mapping[Key, Amounts]:
        """What one aggregate adds to the totals, by group."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method amounts")

    async def fold_totals(self, store: Store) -> dict[Key, Amounts]:
        """The totals as they would be now, by key; nothing is kept."""
        totals: dict[Key, dict[str, int | Decimal]] = {}
        for document in (await self.fold(store)).values():
            for key, amounts in self._checked(self.amounts(document)):
                _add(totals, key, amounts, 1)
        found = {key: summed([amounts]) for key, amounts in totals.items()}
        return {key: amounts for key, amounts in found.items() if amounts}

    def _measured(self, documents: Mapping[str, D | None]) -> Measured:
        return {
            each: [] if document is None else list(self._checked(self.amounts(document)))
            for each, document in documents.items()
        }

    def _checked(self, amounts: Mapping[Key, Amounts]) -> Iterator[tuple[Key, Amounts]]:
        for key, numbers in amounts.items():
            if not _is_key(key):
                raise TypeError(
                    f"{self.name!r}: {key!r} is no key of totals: give a tuple of str, int, bool "
                    "and None"
                )
            for name, number in numbers.items():
                plain: Any = number
                if not isinstance(plain, int | Decimal):
                    raise TypeError(
                        f"{self.name!r}: {name}={number!r} of {key!r} is no int and no Decimal"
                    )
            yield key, dict(numbers)

    async def _book(
        self, was: Measured, now: Measured, batch: Batch[Any], read: ReadDocuments
    ) -> None:
        changes: dict[tuple[int, Key], dict[str, int | Decimal]] = {}
        for sign, measured in ((-1, was), (1, now)):
            for aggregate_id, parts in measured.items():
                partition = batch.generation.partition_of(aggregate_id)
                for key, amounts in parts:
                    _add(changes, (partition, key), amounts, sign)
        booked: dict[int, dict[str, Amounts]] = {}
        for (partition, key), amounts in changes.items():
            if any(amounts.values()):
                booked.setdefault(partition, {})[encode(key).decode()] = amounts
        for partition, by_key in booked.items():
            stored = await read(TOTALS, partition, list(by_key))
            for group, amounts in by_key.items():
                total = summed([decode_amounts(stored.get(group, "{}")), amounts])
                data = encode(total).decode() if total else None
                batch.documents.append(
                    Document(collection=TOTALS, key=group, partition=partition, data=data)
                )


def _is_key(given: Any) -> bool:
    if not isinstance(given, tuple):
        return False
    return all(isinstance(each, _PLAIN) for each in given)  # pyright: ignore[reportUnknownVariableType]


def _add(totals: dict[K, dict[str, int | Decimal]], key: K, amounts: Amounts, sign: int) -> None:
    booked = totals.setdefault(key, {})
    for name, amount in amounts.items():
        booked[name] = booked.get(name, 0) + sign * amount
