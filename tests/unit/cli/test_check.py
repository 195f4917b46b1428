"""`hitherto check`: what it prints, what it writes, and its exit status."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import pytest
import yaml

from hitherto.application.checking.describing import definitions_of, described
from hitherto.application.checking.files import read_schemas
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine

ROOT = Path(__file__).parents[3]
FINES = "hitherto.examples.traffic_fines"
SHOP = """
from decimal import Decimal
from hitherto import Aggregate, Event

class OrderPlaced(Event):
    amount: Decimal
    customer: str

class Order(Aggregate[OrderPlaced]):
    def apply(self, event: OrderPlaced) -> None:
        pass
"""

Shop = Callable[..., None]


@pytest.fixture
def shop(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Writes the module `check_shop` into the current folder, with some of its text replaced."""
    monkeypatch.setenv("DATABASE_URL", "nonsense")  # It is not read.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(**replaced: str) -> None:
        text = SHOP
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        sys.modules.pop("check_shop", None)
        Path("check_shop.py").write_text(text)

    write()
    yield write
    sys.modules.pop("check_shop", None)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The status, and the lines on stdout; nothing is on stderr."""
    status = run(words)
    out, err = capsys.readouterr()
    assert err == ""
    return status, out.splitlines()


def reported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The status, and the report as JSON."""
    status, lines = printed(capsys, *words, "--json")
    return status, json.loads("\n".join(lines))


def test_an_update_makes_the_file_and_then_all_is_well(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second one changes nothing."""
    well = "Every event that the file knows can be read."
    assert printed(capsys, "check", "check_shop", "--update") == (
        0,
        ["events.schema.json is written: commit it.", well],
    )
    text = Path("events.schema.json").read_bytes()
    assert printed(capsys, "check", "check_shop") == (0, [well])
    assert printed(capsys, "check", "check_shop:Order", "--update") == (0, [well])
    assert Path("events.schema.json").read_bytes() == text


def test_a_change_that_breaks_is_told_with_its_remedy(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """And has the status of a failure."""
    run(["check", "check_shop", "--update"])
    capsys.readouterr()
    shop(amount="total")
    status, lines = printed(capsys, "check", "check_shop")
    assert status == 1
    remedy = (
        "raise schema= to 2 and register OrderPlaced.upcast(1){}; or, where no such event was "
        "released, accept it with --update."
    )
    assert lines == [
        "",
        "field-removed: Order.OrderPlaced, schema 1",
        "  `amount` (Decimal) is read by nothing; renamed to `total`?",
        f"  Remedy: {remedy.format('')}",
        "",
        "field-required: Order.OrderPlaced, schema 1",
        "  `total` (Decimal) is new and has no default",
        f"  Remedy: {remedy.format(', or give it a default')}",
        "",
        "Notes",
        "  the file does not tell of all that the code writes now: run it with --update",
        "",
        "2 things break.",
    ]


def test_an_update_accepts_a_change_and_tells_it(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it cannot accept goes on to be told."""
    run(["check", "check_shop", FINES, "--update"])
    capsys.readouterr()
    shop(**{"amount: Decimal": "amount: float"})
    status, lines = printed(capsys, "check", "check_shop", "--update")
    assert status == 1
    assert "Accepted: type-changed: Order.OrderPlaced, schema 1" in lines
    assert "aggregate-removed: Fine" in lines
    assert lines[-1] == "1 thing breaks."
    assert printed(capsys, "check", "check_shop", FINES)[0] == 0


def test_as_json_all_of_it_is_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs."""
    run(["check", "check_shop", "--update", "--file", "other.json"])
    capsys.readouterr()
    shop(**{"str": "str | None", "amount: Decimal": "amount: float"})
    status, report = reported(capsys, "check", "check_shop", "--file", "other.json")
    assert status == 1
    (problem,) = report.pop("problems")
    assert report.pop("notes")[0]["kind"] == "file-behind"
    assert report == {
        "file": "other.json", "updated": False, "store": None, "compatible": False,
        "accepted": [], "events": None, "shapes": None,
    }  # fmt: skip
    assert problem == {
        "kind": "type-changed",
        "aggregate_type": "Order",
        "event_type": "OrderPlaced",
        "schema": 1,
        "field": "amount",
        "what": "`amount` takes `Decimal` no more (Decimal → float)",
        "remedy": problem["remedy"],
        "events": None,
        "undecodable": None,
        "position": None,
    }


def test_a_store_is_read_and_found_sound(
    shop: Shop, fines_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each event type a line."""
    run(["check", FINES, "--update"])
    capsys.readouterr()
    status, lines = printed(capsys, "check", FINES, "--url", fines_url)
    assert status == 0
    assert lines[0] == "sqlite:///fines.db: 169 events read"
    assert lines[1].split() == [
        "aggregate,", "event", "schema", "events", "shapes", "unreadable", "first", "last",
    ]  # fmt: skip
    assert lines[2].split()[:4] == ["Fine.FineCreated", "1", "40", "1"]
    assert lines[-1] == "Every event that was read is as the code writes and reads it."


def test_what_somebody_put_into_the_store_is_told(
    shop: Shop, fines_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the shape, and where it is; control characters are written out."""
    connection = apsw.Connection("fines.db")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.execute(
        """UPDATE event_store SET event_data = json_set(event_data, '$.expense', 1.5, '$."\x1b"', 1)
           WHERE event_type = 'FineSent' AND aggregate_id = 'A1'"""
    )
    connection.execute("UPDATE event_store SET event_type = 'FineLost' WHERE global_position = 1")
    connection.close()
    status, lines = printed(capsys, "check", FINES, "--url", fines_url)
    assert status == 1
    assert lines[0] == "There is no schema file: make one with --update, and commit it."
    told = "\n".join(lines)
    assert "\x1b" not in told
    assert "`expense` is stored as float, and written as str: 1 event, the first at" in told
    assert '  1 of {"\\u001b": int, at: str, expense: float}' in lines
    assert "type-unknown: Fine.FineLost, schema 1" in told
    assert "not as the code has it; " in told


def test_a_change_is_told_with_the_number_of_stored_events(
    shop: Shop, fines_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what the file knows of the fields, and by what the store has of them."""
    run(["check", FINES, "--update"])
    text = Path("events.schema.json").read_text()
    Path("events.schema.json").write_text(text.replace('"expense": "Decimal"', '"expense": "int"'))
    capsys.readouterr()
    status, report = reported(capsys, "check", FINES, "--url", fines_url)
    (note,) = [each for each in report["notes"] if each["kind"] == "read-otherwise"]
    assert (status, note["event_type"], note["field"]) == (0, "FineSent", "expense")
    assert note["events"] == sum(
        each["events"] for each in report["shapes"] if each["event_type"] == "FineSent"
    )


def test_a_sample_may_be_read(
    shop: Shop, fines_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each type so many."""
    status, report = reported(capsys, "check", FINES, "--url", fines_url, "--sample", "2")
    assert (status, report["file"]) == (0, None)
    assert 11 <= report["events"] <= 24


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["check"], 2, "MODULE"),
        (["check", FINES, "--sample", "0", "--url", "sqlite:///fines.db"], 2, "sample"),
        (["check", FINES], 1, "there is no events.schema.json: make it with --update"),
        (["check", FINES, "--file", "typo.json", "--url", "sqlite:///fines.db"], 1, "no typo.json"),
        (["check", FINES, "--sample", "5"], 1, "name the store, with --url"),
        (["check", FINES, "--url", "memory:"], 1, "memory: holds nothing"),
        (["check", FINES, "--url", "mysql://x"], 1, "sqlite:///path"),
        (["check", "check_nothing"], 1, "cannot be imported"),
        (["check", FINES, "--update", "--file", "no/such.json"], 1, "cannot be written"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told(
    shop: Shop, capsys: pytest.CaptureFixture[str], words: list[str], status: int, told: str
) -> None:
    """Before anything is written or read."""
    assert run(words) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert told in " ".join(err.split())
    assert not Path("events.schema.json").exists()


def test_the_file_of_the_example_knows_what_the_example_writes() -> None:
    """It is in the package, and is to be written again when the events change."""
    path = files(FINES) / "events.schema.json"
    assert read_schemas(Path(str(path))) == described(definitions_of([Fine]))


def test_the_hook_of_pre_commit_runs_the_command() -> None:
    """Others name this repository in their configuration."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "hitherto-check"
    assert hook["language"] == "python"
    assert hook["entry"] == "hitherto check"
    assert hook["pass_filenames"] is False
    assert hook["additional_dependencies"] == [".[cli]"]
