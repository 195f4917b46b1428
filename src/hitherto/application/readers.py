"""Readers of views: `DocumentReader` and `TotalsReader`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from hitherto.application.checkpoints import Document
from hitherto.application.ports import Checkpoints
from hitherto.errors import InvalidInput, ProjectionError

D = TypeVar("D")

Key = tuple[str | int | bool | None, ...]
"""What totals are grouped by."""

Amounts = Mapping[str, int | Decimal]
"""Numbers by name."""

DOCUMENTS, TOTALS = "documents", "totals"
"""The collections of a view."""

encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode
decode_amounts: Callable[[bytes | str], dict[str, Any]] = msgspec.json.Decoder(
    dict[str, Any], float_hook=Decimal
).decode
_decode_key = msgspec.json.Decoder(list[Any]).decode


class DocumentReader(Generic[D]):
    """Reads the documents of a view, those of its active generation.

    Args:
        checkpoints: Where they are.
        name: The projection's.
        decode: Makes a document of JSON text.
        fields: The names of its fields as they are stored; None: any, as in a dict.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        name: str,
        decode: Callable[[str], D],
        fields: frozenset[str] | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._name = name
        self._decode = decode
        self._fields = fields

    async def get(self, aggregate_id: str) -> D | None:
        """The document of an aggregate, if there is one.

        Raises:
            ProjectionError: It was made by other code, and this one cannot read it.
        """
        found = await self._checkpoints.find_documents(self._name, DOCUMENTS, key=aggregate_id)
        return self._read(found[0]) if found else None

    async def find(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        **equal: Any,
    ) -> dict[str, D]:
        """Documents by aggregate id, in order.

        Args:
            order_by: A field of the documents; left out: by aggregate id.
            descending: The greatest first.
            limit: The most.
            equal: Fields, and the value that each is to have.

        Raises:
            InvalidInput: The limit is below 1, or the documents have no such field.
            ProjectionError: As for `get`.
        """
        if limit is not None and limit < 1:
            raise InvalidInput(f"limit={limit}: give at least 1, or None")
        for field in equal if order_by is None else (*equal, order_by):
            if self._fields is not None and field not in self._fields:
                raise InvalidInput(
                    f"documents of {self._name!r} have no field {field!r}: they have "
                    f"{sorted(self._fields)}"
                )
        found = await self._checkpoints.find_documents(
            self._name,
            DOCUMENTS,
            equal=msgspec.json.decode(encode(equal)) if equal else None,
            order_by=order_by,
            descending=descending,
            limit=limit,
        )
        return {each.key: self._read(each) for each in found}

    def _read(self, document: Document) -> D:
        try:
            return self._decode(document.data or "null")
        except msgspec.ValidationError as error:
            raise ProjectionError(
                f"{self._name!r}: this code cannot read the document of {document.key!r}: {error}; "
                "raise version= of its class, and run it; give new fields a default, for the old "
                "view is read until the new one is filled"
            ) from error


class TotalsReader:
    """Reads the totals of a view, those of its active generation.

    Args:
        checkpoints: Where they are.
        name: The projection's.
    """

    def __init__(self, checkpoints: Checkpoints, name: str) -> None:
        self._checkpoints = checkpoints
        self._name = name

    async def all(self) -> dict[Key, Amounts]:
        """The totals of every group that has any, by key."""
        return await self._read(None)

    async def get(self, *key: Any) -> Amounts:
        """The totals of one group; without numbers if it has none."""
        found = await self._read(encode(key).decode())
        return next(iter(found.values()), Counter[str]())

    async def _read(self, key: str | None) -> dict[Key, Amounts]:
        found: dict[str, list[Amounts]] = {}
        for each in await self._checkpoints.find_documents(self._name, TOTALS, key=key):
            found.setdefault(each.key, []).append(decode_amounts(each.data or "{}"))
        totals = {tuple(_decode_key(each)): summed(parts) for each, parts in found.items()}
        return {each: amounts for each, amounts in totals.items() if amounts}


def fields_of(kind: Any) -> frozenset[str] | None:
    """The names by which JSON has the fields of a type; None where any may be there."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.StructType):
        names = {each.encode_name for each in info.fields}
        return frozenset(names | {info.tag_field} if info.tag_field is not None else names)
    if isinstance(info, msgspec.inspect.DataclassType):
        return frozenset(each.encode_name for each in info.fields)
    return None


def summed(parts: Iterable[Amounts]) -> Amounts:
    """The sum of each number; those that come to nothing are left out, and read as 0."""
    total: Counter[str] = Counter()
    for part in parts:
        for name, amount in part.items():
            total[name] += amount  # type: ignore[assignment]  # a Counter adds Decimals as well
    return Counter({name: amount for name, amount in total.items() if amount})
