"""`cloud_event`: a message in the envelope of CloudEvents 1.0, as JSON."""

from typing import Any

import msgspec

from hitherto.application.relay import Message

_TRACE = ("traceparent", "tracestate")

_encode = msgspec.json.Encoder().encode


def cloud_event(message: Message) -> bytes:
    """The message in the JSON format of CloudEvents, structured mode.

    The extensions `sequence`, `correlationid`, `causationid`, `traceparent` and `tracestate` are
    the documented ones; `aggregatetype`, `aggregateversion`, `schemaversion` and `actor` are our
    own. What has no value is left out; further metadata is not told to the world.
    """
    metadata = message.metadata
    optional: dict[str, Any] = {
        "correlationid": metadata.correlation_id,
        "causationid": metadata.causation_id,
        "actor": metadata.actor,
        **{name: metadata.extra.get(name) for name in _TRACE},
    }
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": message.id,
        "source": message.source,
        "type": message.event_type,
        "subject": message.aggregate_id,
        "time": message.occurred_at,
        "datacontenttype": "application/json",
        "aggregatetype": message.aggregate_type,
        "aggregateversion": message.version,
        "schemaversion": message.schema_version,
        "sequence": f"{message.position:019}",  # is to sort as text, and an integer has but 32 bits
        **{name: value for name, value in optional.items() if isinstance(value, str) and value},
        "data": msgspec.Raw(message.data.encode()),
    }
    return _encode(envelope)
