"""The envelope: what of a message stands where in a CloudEvent."""

import json
import re
from typing import Any

from tests.messages import a_message

from hitherto import Metadata
from hitherto.application.cloudevents import cloud_event

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")


def envelope(**changes: object) -> Any:
    return json.loads(cloud_event(a_message(**changes)))


def test_a_message_is_told_in_the_attributes_of_cloudevents() -> None:
    """Any consumer that knows the standard can read it."""
    metadata = Metadata(
        correlation_id="c-1", causation_id="e-0", actor="ann", extra={"traceparent": "00-1-2-01"}
    )
    assert envelope(id="e-1", position=42, version=3, metadata=metadata) == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "Paid",
        "subject": "order-1",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "aggregatetype": "Order",
        "aggregateversion": 3,
        "schemaversion": 1,
        "sequence": "0000000000000000042",
        "correlationid": "c-1",
        "causationid": "e-0",
        "actor": "ann",
        "traceparent": "00-1-2-01",
        "data": {"amount": 7},
    }


def test_the_names_of_attributes_are_those_that_the_standard_allows() -> None:
    """Lower-case letters and digits, twenty at most."""
    metadata = Metadata(
        correlation_id="c", causation_id="e", actor="a", extra={"tracestate": "t", "my_Key": "k"}
    )
    assert all(_ATTRIBUTE.fullmatch(name) for name in envelope(metadata=metadata))


def test_what_has_no_value_is_left_out() -> None:
    """An attribute may not be empty, nor a list, as another tool may have stored."""
    odd = Metadata.from_flat({"correlation_id": "", "causation_id": [1], "actor": None})
    assert not {"correlationid", "causationid", "actor"} & set(envelope(metadata=odd))


def test_further_metadata_stay_inside() -> None:
    """They are the application's own."""
    assert "secret" not in envelope(metadata=Metadata(extra={"secret": "x"}))


def test_the_sequence_sorts_as_text_up_to_the_last_position() -> None:
    """Consumers compare it as text."""
    told = [envelope(position=position)["sequence"] for position in (9, 10, 2**31, 2**63 - 1)]
    assert told == sorted(told)


def test_text_of_any_kind_arrives_unchanged() -> None:
    """The event's own fields are put in as they are."""
    text = '{"name":"Žofie \\"Z\\" 🦊 \\n"}'
    assert envelope(data=text, aggregate_id="a/\n\"'é")["data"] == json.loads(text)
    assert envelope(aggregate_id="a/\n\"'é")["subject"] == "a/\n\"'é"
