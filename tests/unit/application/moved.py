"""Stores that are moved, and the files between them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from hitherto import Store
from hitherto.application.moving import Exported, Filter, export_log, writing
from hitherto.application.ports import Backend
from hitherto.application.records import PlacedEvent
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.store_contract.making import placed

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
ODD = """{"z": [1.50, 1e300, -0.0, 123456789012345678901234567890, 0.1], "NaN": "NaN", "a": null,
    "\\u00e9": "\\ud83d\\ude00\\n\\u2028", "nested": {"b": {}, "a": [[]]}, "money": "12.340"}"""


def told(aggregate_id: str, version: int, **changes: Any) -> PlacedEvent:
    """An event of a history, with its time of storing."""
    event = placed(aggregate_id, version)
    stored_at = NOON + timedelta(minutes=version)
    return msgspec.structs.replace(event, **{"stored_at": stored_at, **changes})


HISTORY = [
    told("a", 1, data=ODD, metadata='{"who": "ada", "n": 1.0}'),
    told("b", 1, aggregate_type="Other", event_type="Odd"),
    told("a", 2, schema_version=7),
    told("c", 1),
    told("a", 3, event_type="Odd", occurred_at=datetime(1900, 1, 1, tzinfo=UTC)),
    told("b", 2, aggregate_type="Other"),
    told("c", 2, stored_at=NOON, metadata="{}"),
]


async def holding(*events: PlacedEvent) -> Store:
    """A store in memory that holds these."""
    backend = MemoryStore()
    await backend.import_events(events)
    return Store(backend)


async def exported(
    backend: Backend, path: Path, wanted: Filter | None = None, *, positions: bool = False
) -> Exported:
    """An export into a file."""
    with writing(path) as write:
        return await export_log(backend, write, wanted or Filter(), positions=positions)
