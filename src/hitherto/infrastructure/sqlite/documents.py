# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Documents of views, inside a transaction."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from hitherto.application.checkpoints import Document, Generation
from hitherto.infrastructure.same_json import same
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.reading import select

_SQL = named_queries("hitherto.infrastructure.sqlite", "projections.sql")


def write_documents(
    connection: apsw.Connection, generation: Generation, documents: Sequence[Document]
) -> None:
    """Write documents, and remove those without data; of two for one key the last counts."""
    written: list[tuple[Any, ...]] = []
    removed: list[tuple[Any, ...]] = []
    for each in {(each.collection, each.key, each.partition): each for each in documents}.values():
        place = (generation.name, generation.number, each.collection, each.key, each.partition)
        if each.data is None:
            removed.append(place)
        else:
            written.append((*place, each.data))
    connection.executemany(_SQL["write_document"], written)
    connection.executemany(_SQL["remove_document"], removed)


def read_documents(
    connection: apsw.Connection,
    generation: Generation,
    collection: str,
    keys: Sequence[str],
    partition: int | None,
) -> dict[str, str]:
    """See `Checkpoints.read_documents`."""
    which = (generation.name, generation.number, collection, json.dumps(list(keys)), partition)
    return dict(select(connection, _SQL["read_documents"], which))


def find_documents(
    connection: apsw.Connection,
    name: str,
    collection: str,
    *,
    key: str | None,
    equal: Mapping[str, Any],
    order_by: str | None,
    descending: bool,
    limit: int | None,
) -> list[Document]:
    """See `Checkpoints.find_documents`."""
    filters = "" if key is None else "AND key = :key"
    bindings: dict[str, Any] = {
        "name": name,
        "collection": collection,
        "key": key,
        "limit": -1 if limit is None else limit,
    }
    for number, (field, value) in enumerate(equal.items()):
        filters += f" AND same_json(document -> :field{number}, :value{number})"
        bindings |= {f"field{number}": _path(field), f"value{number}": json.dumps(value)}
    order = "key DESC, partition DESC" if descending else "key, partition"
    if order_by is not None:
        bindings["order_by"] = _path(order_by)
        value, direction = "document ->> :order_by", "DESC" if descending else "ASC"
        order = f"({value}) IS NULL, {value} {direction}, key, partition"
    query = _SQL["find_documents"].replace("{filters}", filters).replace("{order}", order)
    connection.create_scalar_function("same_json", _same_json, 2, deterministic=True)
    return [
        Document(collection=collection, key=found, partition=partition, data=data)
        for found, partition, data in select(connection, query, bindings)
    ]


def _path(field: str) -> str:
    """The JSON path of a field of the document, whatever its name."""
    return f"$.{json.dumps(field, ensure_ascii=False)}"


def _same_json(*texts: Any) -> bool:
    one, other = texts
    return one is not None and same(json.loads(one), json.loads(other))
