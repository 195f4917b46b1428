"""The log's own format, read into commands and written back from events.

A line tells one fine: ``{"fine": id, "events": [{"activity", "at", …attributes}]}``.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from hitherto import InvalidInput
from hitherto.examples.traffic_fines import events as happened
from hitherto.examples.traffic_fines.model import Fine


@dataclass(frozen=True, slots=True)
class Activity:
    """How the log writes one event class.

    Attributes:
        name: The log's name for it.
        event: The event class.
        command: The command that leads to it.
        attributes: The log's name of each field but `at`, in the log's order, with our own;
            the command's parameters bear our names too.
    """

    name: str
    event: type[happened.FineEvent]
    command: Callable[..., None]
    attributes: dict[str, str]


ACTIVITIES = (
    Activity(
        "Create Fine",
        happened.FineCreated,
        Fine.create,
        {
            "amount": "amount",
            "resource": "resource",
            "dismissal": "dismissal",
            "vehicleClass": "vehicle_class",
            "totalPaymentAmount": "total_paid",
            "article": "article",
            "points": "points",
        },
    ),
    Activity("Send Fine", happened.FineSent, Fine.send, {"expense": "expense"}),
    Activity(
        "Insert Fine Notification",
        happened.FineNotified,
        Fine.notify,
        {"notificationType": "notification_type", "lastSent": "last_sent"},
    ),
    Activity("Add penalty", happened.PenaltyAdded, Fine.add_penalty, {"amount": "amount"}),
    Activity(
        "Payment",
        happened.PaymentReceived,
        Fine.pay,
        {"totalPaymentAmount": "total_paid", "paymentAmount": "amount"},
    ),
    Activity(
        "Insert Date Appeal to Prefecture",
        happened.PrefectureAppealEntered,
        Fine.enter_prefecture_appeal,
        {},
    ),
    Activity(
        "Send Appeal to Prefecture",
        happened.PrefectureAppealSent,
        Fine.send_prefecture_appeal,
        {"dismissal": "dismissal"},
    ),
    Activity(
        "Receive Result Appeal from Prefecture",
        happened.PrefectureResultReceived,
        Fine.receive_prefecture_result,
        {},
    ),
    Activity(
        "Notify Result Appeal to Offender",
        happened.PrefectureResultNotified,
        Fine.notify_prefecture_result,
        {},
    ),
    Activity(
        "Appeal to Judge",
        happened.JudgeAppealed,
        Fine.appeal_to_judge,
        {"resource": "resource", "dismissal": "dismissal", "matricola": "registration"},
    ),
    Activity(
        "Send for Credit Collection", happened.SentToCollection, Fine.send_to_collection, {}
    ),
)  # fmt: skip
_BY_NAME = {activity.name: activity for activity in ACTIVITIES}
_BY_EVENT = {activity.event: activity for activity in ACTIVITIES}


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a log, plain or compressed by gzip; one is in memory at a time."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as log:
            yield from log
    else:
        with path.open(encoding="utf-8") as log:
            yield from log


def sample_lines() -> list[str]:
    """The 2,000 fines that ship with the package."""
    sample = (
        resources.files("hitherto.examples.traffic_fines").joinpath("sample.jsonl.gz").read_bytes()
    )
    return gzip.decompress(sample).decode().splitlines()


def fine_of(line: str, *, prefix: str = "") -> Fine:
    """The fine that the commands of one line lead to; its events are pending.

    Args:
        line: A line of the log.
        prefix: Put before the log's own id of the fine.

    Raises:
        InvalidInput: The line has an activity or an attribute that is not known.
        InvalidAggregateState: An event makes no sense after those before it.
    """
    told: dict[str, Any] = json.loads(line, parse_float=Decimal)
    fine = Fine(prefix + told["fine"])
    for entry in told["events"]:
        _command(fine, **entry)
    return fine


def line_of(fine_id: str, events: Iterable[happened.FineEvent]) -> str:
    """The inverse: the line that tells a fine's history, without a line break."""
    told = {"fine": fine_id, "events": [_entry(event) for event in events]}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def activity_of(event: happened.FineEvent) -> str:
    """The log's name for what happened."""
    return _BY_EVENT[type(event)].name


def _command(fine: Fine, /, activity: str, at: str, **attributes: Any) -> None:
    known = _BY_NAME.get(activity)
    if known is None or not attributes.keys() <= known.attributes.keys():
        unknown = sorted(attributes.keys() - known.attributes.keys()) if known else "it"
        raise InvalidInput(f"fine {fine.id}, activity {activity!r}: {unknown} is not known")
    arguments = {known.attributes[name]: value for name, value in attributes.items()}
    try:
        known.command(fine, at=datetime.fromisoformat(at), **arguments)
    except (TypeError, AttributeError) as error:  # An attribute is missing, or no number.
        raise InvalidInput(f"fine {fine.id}, activity {activity!r}: {error}") from error


def _entry(event: happened.FineEvent) -> dict[str, Any]:
    activity = _BY_EVENT[type(event)]
    entry: dict[str, Any] = {"activity": activity.name, "at": event.at.isoformat()}
    for name, field in activity.attributes.items():
        value = getattr(event, field)
        if value is not None:
            entry[name] = float(value) if isinstance(value, Decimal) else value
    return entry
