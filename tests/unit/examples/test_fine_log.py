"""The log's format: what is read is what is written back, and what is not known is refused."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hitherto import InvalidAggregateState, InvalidInput
from hitherto.examples.traffic_fines import (
    ACTIVITIES,
    Fine,
    FineCreated,
    FineNotified,
    activity_of,
    fine_of,
    line_of,
    read_lines,
    sample_lines,
)

CREATED = {
    "activity": "Create Fine",
    "at": "2006-07-24T00:00:00+02:00",
    "amount": 35.1,
    "resource": "561",
    "dismissal": "NIL",
    "vehicleClass": "A",
    "totalPaymentAmount": 0.0,
    "article": 157,
    "points": 2,
}


def line(*events: dict[str, Any]) -> str:
    """A line of the log, written by hand."""
    return json.dumps({"fine": "A1", "events": events}, separators=(",", ":"), ensure_ascii=False)


class TestTheSample:
    def test_each_of_its_lines_survives_byte_for_byte(self) -> None:
        """Into commands, and back from the events that they lead to."""
        lines = sample_lines()
        written = [line_of(fine.id, fine.pending) for fine in map(fine_of, lines)]
        assert len(written) == 2000
        assert written == lines

    def test_everything_that_occurs_in_the_log_occurs_in_it(self) -> None:
        """All activities; 8,033 events of 2,000 different fines."""
        told = [json.loads(line) for line in sample_lines()]
        activities = Counter(event["activity"] for fine in told for event in fine["events"])
        assert len({fine["fine"] for fine in told}) == 2000
        assert activities.total() == 8033
        assert set(activities) == {activity.name for activity in ACTIVITIES}

    def test_a_fine_comes_to_what_its_line_tells(self) -> None:
        """Counted without the model: the latest amount, the postage, the sum of the payments."""
        for text in sample_lines():
            events = json.loads(text, parse_float=Decimal)["events"]
            amounts = [event["amount"] for event in events if "amount" in event]
            postage = sum(event.get("expense", 0) for event in events)
            paid = sum(event.get("paymentAmount", 0) for event in events)
            dropped = {("Send Appeal to Prefecture", "#"), ("Appeal to Judge", "G")}
            dismissed = any(
                (event["activity"], event.get("dismissal")) in dropped for event in events
            )
            owed = 0 if dismissed else amounts[-1] + postage
            fine = fine_of(text)
            assert (fine.dismissed, fine.paid, fine.owed) == (dismissed, paid, owed), text
            assert fine.outstanding - fine.overpaid == owed - paid, text
            assert not (fine.outstanding and fine.overpaid), text


class TestReading:
    def test_a_line_is_told_by_commands(self) -> None:
        """Amounts to the cent, times with their zone; nothing is saved yet."""
        fine = fine_of(line(CREATED))
        (created,) = fine.pending
        assert created == FineCreated(
            at=datetime.fromisoformat("2006-07-24T00:00:00+02:00"),
            amount=Decimal("35.1"),
            resource="561",
            dismissal="NIL",
            vehicle_class="A",
            total_paid=Decimal(0),
            article=157,
            points=2,
        )
        assert created.at.utcoffset() == timedelta(hours=2)
        assert (fine.id, fine.version) == ("A1", 0)

    def test_a_prefix_goes_before_the_id(self) -> None:
        """And changes nothing else."""
        fine = fine_of(line(CREATED), prefix="run2-")
        assert fine.id == "run2-A1"
        assert fine.pending == fine_of(line(CREATED)).pending

    def test_an_activity_that_is_not_known_is_refused_by_name(self) -> None:
        """With the fine whose it is."""
        towed = {"activity": "Tow Vehicle", "at": "2006-07-25T00:00:00+02:00"}
        with pytest.raises(InvalidInput, match="fine A1, activity 'Tow Vehicle': it is not known"):
            fine_of(line(CREATED, towed))

    @pytest.mark.parametrize("name", ["colour", "expense", "fine", "vehicle_class"])
    def test_an_attribute_that_is_not_known_is_refused_by_name(self, name: str) -> None:
        """Though another activity has it, or we call one so ourselves."""
        with pytest.raises(InvalidInput, match=rf"'Create Fine': \['{name}'\] is not known"):
            fine_of(line({**CREATED, name: "x"}))

    def test_all_attributes_that_are_not_known_are_named(self) -> None:
        """In order."""
        with pytest.raises(InvalidInput, match=r"\['colour', 'wheels'\] is not known"):
            fine_of(line({**CREATED, "wheels": 4, "colour": "red"}))

    @pytest.mark.parametrize("change", [{}, {"amount": "much"}, {"amount": None}])
    def test_an_attribute_that_is_missing_or_no_number_is_refused(
        self, change: dict[str, Any]
    ) -> None:
        """The fine and the activity are named."""
        told = {name: value for name, value in CREATED.items() if name != "amount"}
        with pytest.raises(InvalidInput, match="fine A1, activity 'Create Fine'"):
            fine_of(line({**told, **change}))

    def test_a_line_that_makes_no_sense_is_refused_by_the_fine(self) -> None:
        """It is read by commands, so their rules hold."""
        sent = {"activity": "Send Fine", "at": "2006-07-23T00:00:00+02:00", "expense": 11.0}
        with pytest.raises(InvalidAggregateState, match="is before it"):
            fine_of(line(CREATED, sent))
        with pytest.raises(InvalidAggregateState, match="was not created"):
            fine_of(line(sent))


class TestWriting:
    def test_an_attribute_that_was_not_noted_is_left_out(self) -> None:
        """Whom a notice was last sent to."""
        at = datetime.fromisoformat("2006-08-01T00:00:00+02:00")
        with_it = line_of("A1", [FineNotified(at=at, notification_type="P", last_sent="N")])
        without = line_of("A1", [FineNotified(at=at, notification_type="P")])
        assert '"notificationType":"P","lastSent":"N"}' in with_it
        assert '"notificationType":"P"}' in without

    def test_other_alphabets_are_written_as_they_are(self) -> None:
        """As the log has them."""
        text = line({**CREATED, "resource": "Šaňa"})
        assert "Šaňa" in text
        fine = fine_of(text)
        assert line_of(fine.id, fine.pending) == text

    def test_a_fine_without_events_is_a_line_too(self) -> None:
        """Nothing has happened."""
        assert line_of("A1", []) == '{"fine":"A1","events":[]}'
        assert fine_of('{"fine":"A1","events":[]}').pending == ()


class TestActivities:
    def test_each_event_has_one(self) -> None:
        """And each activity one event."""
        classes = [activity.event.__name__ for activity in ACTIVITIES]
        assert sorted(classes) == sorted(Fine.definition.events)
        assert len({activity.name for activity in ACTIVITIES}) == len(classes)

    def test_an_event_is_told_by_its_activity(self) -> None:
        """By the log's name."""
        notified = FineNotified(
            at=datetime.fromisoformat("2006-08-01T00:00:00+02:00"), notification_type="P"
        )
        assert activity_of(notified) == "Insert Fine Notification"
        assert activity_of(fine_of(line(CREATED)).pending[0]) == "Create Fine"

    def test_every_field_of_an_event_is_written(self) -> None:
        """None is lost on the way."""
        for activity in ACTIVITIES:
            fields = set(activity.event.__struct_fields__) - {"at"}
            assert set(activity.attributes.values()) == fields, activity.name


class TestFiles:
    LINES = ("first\n", "zweite Zeile: Gebühr\n", "last\n")

    def test_a_plain_log_is_read_line_by_line(self, tmp_path: Path) -> None:
        """As UTF-8, whatever the machine prefers."""
        path = tmp_path / "log.jsonl"
        path.write_bytes("".join(self.LINES).encode())
        assert tuple(read_lines(path)) == self.LINES

    def test_a_compressed_log_is_read_line_by_line(self, tmp_path: Path) -> None:
        """As UTF-8; its name ends in .gz."""
        path = tmp_path / "log.jsonl.gz"
        path.write_bytes(gzip.compress("".join(self.LINES).encode()))
        assert tuple(read_lines(path)) == self.LINES

    def test_a_log_is_not_held_in_memory(self, tmp_path: Path) -> None:
        """The first line is there before the last is decoded."""
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"first\n" * 100_000 + b"\xff\n")
        lines = read_lines(path)
        assert isinstance(lines, Iterator)
        assert next(lines) == "first\n"
        with pytest.raises(UnicodeDecodeError):
            list(lines)

    def test_lines_of_a_file_may_end_in_breaks(self, tmp_path: Path) -> None:
        """They can be read as they are."""
        path = tmp_path / "log.jsonl"
        path.write_text(f"{line(CREATED)}\n{line(CREATED)}\n", encoding="utf-8")
        assert [fine_of(text).id for text in read_lines(path)] == ["A1", "A1"]
