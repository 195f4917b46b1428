"""Which documents are asked for, and in what order: the reference."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hitherto.application.checkpoints import Document
from hitherto.infrastructure.same_json import same

_MISSING = object()


def chosen(
    documents: Iterable[Document],
    equal: Mapping[str, Any],
    order_by: str | None,
    *,
    descending: bool,
) -> list[Document]:
    """Those whose fields have the values, in order; see `Checkpoints.find_documents`."""
    by_key = sorted(documents, key=lambda each: (each.key, each.partition))
    fields = {id(each): json.loads(each.data or "{}") for each in by_key}
    found = [
        each
        for each in by_key
        if all(same(fields[id(each)].get(field, _MISSING), equal[field]) for field in equal)
    ]
    if order_by is None:
        return found[::-1] if descending else found
    values = [(fields[id(each)].get(order_by), each) for each in found]
    present = [(value, each) for value, each in values if value is not None]
    missing = [each for value, each in values if value is None]
    present.sort(key=lambda pair: _rank(pair[0]), reverse=descending)
    return [each for _, each in present] + missing


def _rank(value: Any) -> tuple[bool, Any]:
    """Numbers come before texts; what is neither stands as its JSON."""
    text = json.dumps(value) if isinstance(value, list | dict) else value
    return isinstance(text, str), text
