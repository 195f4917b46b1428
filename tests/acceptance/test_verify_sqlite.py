"""Damage of every kind, planted in a SQLite file: `hitherto verify` finds that, and no other."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import apsw
import pytest
from tests.acceptance.sound_store import (
    AGGREGATES,
    FINES,
    TAMPERED,
    kinds,
    make_store,
    places,
    reported,
)

from hitherto.application.findings import Kind

TABLE = "SELECT sql FROM sqlite_master WHERE name = 'event_store'"
BESIDE = """SELECT sql FROM sqlite_master
            WHERE tbl_name = 'event_store' AND type IN ('index', 'trigger') AND sql IS NOT NULL"""
GUARD = "guard-missing"
OTHER_TYPE = """UPDATE event_store SET aggregate_type = 'Other'
                WHERE aggregate_id = 'A100' AND event_version = 5"""

COPY = """INSERT INTO event_store (
              event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
              event_data, occurred_at, created_at)
          SELECT {event_id}, event_type, aggregate_id, aggregate_type, {version}, schema_version,
              event_data, occurred_at, created_at
          FROM event_store WHERE aggregate_id = 'A1' AND event_version = 1"""
NO_INDEX = "DROP INDEX idx_event_store_aggregate_version"
PLAIN_INDEX = """CREATE INDEX idx_event_store_aggregate_version
                 ON event_store (aggregate_id, event_version)"""
NO_TRIGGER = "DROP TRIGGER event_store_refuses_update"
IDLE_TRIGGER = """CREATE TRIGGER event_store_refuses_update BEFORE UPDATE ON event_store
                  BEGIN SELECT 1; END"""
OTHER_ID = "'00000000-0000-7000-8000-000000000001'"


def copied(*, event_id: str = OTHER_ID, version: int) -> str:
    """Add an event to A1, for the rest like its first one."""
    return COPY.format(event_id=event_id, version=version)


def event(assignment: str, version: int = 1) -> str:
    """Change an event of A1, which has two and no snapshot."""
    return (
        f"UPDATE event_store SET {assignment} "
        f"WHERE aggregate_id = 'A1' AND event_version = {version}"
    )


def snapshot(assignment: str) -> str:
    """Change the snapshot of A100, which has five events."""
    return f"UPDATE aggregate_snapshots SET {assignment} WHERE aggregate_id = 'A100'"


def rebuilt(written: str, changed: str) -> Callable[[apsw.Connection], None]:
    """The table made anew, with something in its definition changed."""

    def work(connection: apsw.Connection) -> None:
        made: Any = connection.execute(TABLE).get
        assert written in made
        beside: Any = list(connection.execute(BESIDE))
        latest = connection.execute("SELECT max(seq) FROM sqlite_sequence").get
        connection.execute("PRAGMA legacy_alter_table = ON")  # views and triggers stay as they are
        connection.execute("ALTER TABLE event_store RENAME TO old")
        connection.execute(made.replace(written, changed))
        connection.execute("INSERT INTO event_store SELECT * FROM old; DROP TABLE old")
        connection.execute("DELETE FROM sqlite_sequence")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('event_store', ?)", (latest,))
        for (sql,) in beside:
            connection.execute(sql)

    return work


def corrupted(connection: apsw.Connection) -> None:
    """Zero the first page of an index."""
    connection.execute("PRAGMA journal_mode = DELETE")
    page: Any = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'idx_event_store_occurred_at'"
    ).get
    size: Any = connection.execute("PRAGMA page_size").get
    with Path(connection.filename).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x0a\0\0\0\0\x10\0\0")  # an empty leaf of an index


Damage = str | Callable[[apsw.Connection], None]

PLANTED: list[tuple[str, list[Damage], dict[str, int]]] = [
    (
        "events in the archive though nothing came after them",
        [
            "INSERT INTO event_archive SELECT * FROM event_store WHERE aggregate_id = 'A1'",
            "DELETE FROM event_store WHERE aggregate_id = 'A1'",
        ],
        {"archive-misplaced": 1},
    ),
    ("a trigger dropped", [NO_TRIGGER], {GUARD: 1}),
    ("an index dropped", [NO_INDEX], {GUARD: 1}),
    (
        "an index that is not unique",
        [NO_INDEX, PLAIN_INDEX],
        {GUARD: 1},
    ),
    (
        "a trigger that does nothing",
        [NO_TRIGGER, IDLE_TRIGGER],
        {GUARD: 1},
    ),
    ("positions without a memory", [rebuilt(" AUTOINCREMENT", "")], {GUARD: 1}),
    (
        "a sequence set back",
        ["UPDATE sqlite_sequence SET seq = 160"],
        {"position-above-sequence": 9},
    ),
    ("a sequence lost", ["DELETE FROM sqlite_sequence"], {"position-above-sequence": 169}),
    ("an id that is none", [event("event_id = 'one'")], {"value-malformed": 1}),
    (
        "a time that is none",
        [event("occurred_at = '2024-02-30T12:00:00+00:00'")],
        {"value-malformed": 1},
    ),
    (
        "a time without a zone",
        [event("created_at = '2024-02-20T12:00:00'")],
        {"value-malformed": 1},
    ),
    ("a number as text", [event("schema_version = 'one'")], {"value-malformed": 1}),
    ("data as bytes", [event("metadata = x'7b7d'")], {"value-malformed": 1}),
    (
        "data that are not UTF-8",
        [event("event_data = CAST(x'7b226e223a22ff227d' AS TEXT)")],
        {"value-malformed": 1},
    ),
    (
        "metadata that are not UTF-8",
        [event("metadata = CAST(x'7b226e223a22ff227d' AS TEXT)")],
        {"value-malformed": 1},
    ),
    (
        "a snapshot's version as text",
        [snapshot("version = 'abc'")],
        {"snapshot-malformed": 1},
    ),
    ("a snapshot's version as a fraction", [snapshot("version = 2.5")], {"snapshot-malformed": 1}),
    (
        "a snapshot's id as bytes",
        [snapshot("aggregate_id = CAST(aggregate_id AS BLOB)")],
        {"snapshot-malformed": 1},
    ),
    (
        "a snapshot's data as bytes",
        [snapshot("snapshot_data = x'ff00'")],
        {"snapshot-malformed": 1},
    ),
    (
        "a schema version that there cannot be",
        [event("schema_version = 0")],
        {"schema-version-out-of-range": 1, "event-undecodable": 1},
    ),
    ("no trigger of hashes", ["DROP TRIGGER event_hashes_refuses_delete"], {GUARD: 1}),
    ("data in a list", [event("event_data = '[1]'")], {"data-not-object": 1}),
    (
        "data cut off",
        [event("event_data = substr(event_data, 1, 20)")],
        {"data-not-object": 1, "event-undecodable": 1},
    ),
    ("metadata in a list", [event("metadata = '[1]'")], {"metadata-not-object": 1}),
    (
        "an event id twice",
        [
            rebuilt("TEXT NOT NULL UNIQUE", "TEXT NOT NULL"),
            copied(event_id="event_id", version=3),
        ],
        {GUARD: 1, "event-id-twice": 2},
    ),
    (
        "a position twice",
        [
            rebuilt("INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER"),
            event("global_position = 1", 2),
        ],
        {GUARD: 1, "position-twice": 2, "position-disordered": 1},
    ),
    ("a position below 1", [event("global_position = 0")], {"position-out-of-range": 1}),
    (
        "a version below 1",
        [event("event_version = 0")],
        {"version-out-of-range": 1, "version-gap": 1},
    ),
    (
        "two versions below 1",
        [event("event_version = -1"), event("event_version = 0", 2)],
        {"version-out-of-range": 2},
    ),
    (
        "a version far below 1",
        [event("event_version = -1"), event("event_version = 1", 2)],
        {"version-out-of-range": 1},
    ),
    ("a lost event", ["DELETE FROM event_store WHERE global_position = 1"], {"version-gap": 1}),
    (
        "a version twice",
        [NO_INDEX, copied(version=2)],
        {GUARD: 1, "version-twice": 1},
    ),
    (
        "two types in one stream",
        [event("aggregate_type = 'Other'", 2)],
        {"type-mixed": 1, "aggregate-type-unknown": 1},
    ),
    (
        "a snapshot without events",
        [snapshot("aggregate_id = 'A101'")],
        {"snapshot-without-events": 1},
    ),
    (
        "a snapshot of another type",
        [snapshot("aggregate_type = 'Other'")],
        {"snapshot-of-another-type": 1},
    ),
    ("a snapshot below version 1", [snapshot("version = 0")], {"snapshot-out-of-range": 1}),
    ("a snapshot ahead", [snapshot("version = 6")], {"snapshot-ahead": 1}),
    (
        "a snapshot cut off",
        [snapshot("snapshot_data = substr(snapshot_data, 1, 20)")],
        {"snapshot-not-json": 1, "snapshot-undecodable": 1},
    ),
    (
        "an aggregate type that no class has",
        ["UPDATE event_store SET aggregate_type = 'Other' WHERE aggregate_id = 'A1'"],
        {"aggregate-type-unknown": 1},
    ),
    (
        "an event type that no class has",
        [event("event_type = 'Other'", 2)],
        {"event-type-unknown": 1},
    ),
    (
        "a field lost",
        [event("event_data = json_remove(event_data, '$.amount')")],
        {"event-undecodable": 1},
    ),
    (
        "a state with another field",
        [snapshot("snapshot_data = json_set(snapshot_data, '$.paid', '7')")],
        {"snapshot-differs": 1},
    ),
    (
        "a state with a field that no state can have",
        [snapshot("snapshot_data = json_set(snapshot_data, '$.paid', 'seven')")],
        {"snapshot-undecodable": 1},
    ),
    (
        "two snapshots of one aggregate",
        [
            "ALTER TABLE aggregate_snapshots RENAME TO old",
            "CREATE TABLE aggregate_snapshots AS SELECT * FROM old",
            "INSERT INTO aggregate_snapshots SELECT * FROM old WHERE aggregate_id = 'A100'",
            "DROP TABLE old",
        ],
        {GUARD: 1, "snapshot-twice": 1},
    ),
    (
        "two types under a snapshot",
        [OTHER_TYPE],
        {"type-mixed": 1, "aggregate-type-unknown": 1, "aggregate-unfoldable": 1},
    ),
    (
        "an event lost under a snapshot",
        ["DELETE FROM event_store WHERE aggregate_id = 'A100' AND event_version = 2"],
        {"version-gap": 1, "aggregate-unfoldable": 1},
    ),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that nobody has meddled with."""
    path = tmp_path_factory.mktemp("sound") / "fines.db"
    make_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def file(sound: Path, tmp_path: Path) -> Path:
    """A copy, to meddle with."""
    return Path(shutil.copy(sound, tmp_path / "fines.db"))


def plant(file: Path, *damage: Damage) -> None:
    """Meddle with a file, as somebody might whom no trigger stops."""
    connection = apsw.Connection(str(file))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    for each in damage:
        if callable(each):
            each(connection)
        else:
            connection.execute(each)
            assert connection.changes() or not each.startswith("UPDATE")
    connection.close()


def test_a_file_that_nobody_meddled_with_is_sound(file: Path) -> None:
    """Every event was read, and every snapshot compared."""
    status, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    assert status == 0
    assert report == {
        "store": f"sqlite:///{file}", "sound": True, "aggregate_types": ["Fine"],
        "events": 169, "snapshots": 25, "foreign": 0, "unread": False, "findings": [],
        "chained": 0, "unchained": 0, "erasures": 0, "sealed_position": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "found"),
    [pytest.param(damage, found, id=name) for name, damage, found in PLANTED],
)
def test_planted_damage_is_found_and_nothing_else(
    damage: list[Damage], found: dict[str, int], file: Path
) -> None:
    """With its kind, how often it is there, a sentence for each place, and a remedy."""
    plant(file, *damage)
    status, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    assert (status, report["sound"], kinds(report)) == (1, False, found)
    for finding in report["findings"]:
        assert finding["remedy"]
        assert all(place["what"] and "None" not in place["what"] for place in finding["places"])


def test_a_damaged_page_is_found(file: Path) -> None:
    """SQLite says which rows an index has lost; nothing is read beyond."""
    plant(file, corrupted)
    status, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    assert (status, report["unread"]) == (1, True)
    (finding,) = report["findings"]
    assert (finding["kind"], finding["count"] >= 169) == ("file-damaged", True)
    told = [place["what"] for place in finding["places"]]
    assert "row 1 missing from index idx_event_store_occurred_at" in told


def test_every_kind_of_damage_was_planted() -> None:
    """The list above is complete; what only hashes tell is in `test_tampering`."""
    planted = {kind for _, _, found in PLANTED for kind in found}
    assert planted == {*get_args(Kind)} - {"file-damaged", *TAMPERED}


def test_a_place_is_told_in_full(file: Path) -> None:
    """Which event, and what is wrong there."""
    plant(file, "DELETE FROM event_store WHERE aggregate_id = 'A10267' AND event_version = 1")
    _, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    assert places(report, "version-gap") == [
        {
            "what": "version 2 of 'A10267' follows 0",
            "aggregate_id": "A10267", "version": 2, "position": 68,
        }
    ]  # fmt: skip


def test_a_text_that_is_not_utf8_is_told_by_its_position(file: Path) -> None:
    """Also an id; SQLite takes any bytes."""
    plant(file, event("aggregate_id = CAST(x'41ff' AS TEXT)"))
    status, report = reported("verify", f"sqlite:///{file}")
    assert status == 1
    assert places(report, "value-malformed") == [
        {
            "what": "the event at position 1 cannot be read: a text in it is not UTF-8",
            "aggregate_id": "A\\xff", "version": None, "position": 1,
        }
    ]  # fmt: skip


def test_snapshot_data_that_are_not_utf8_are_told(file: Path) -> None:
    """And replaced by a replay."""
    plant(file, snapshot("snapshot_data = CAST(x'7b2261223a22ff227d' AS TEXT)"))
    _, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    (place,) = places(report, "snapshot-malformed")
    assert place["what"] == "the snapshot of 'A100' cannot be read: a text in it is not UTF-8"
    _, report = reported("replay", "hitherto.examples.traffic_fines:Fine", *on(file))
    assert (report["wrong"], report["taken"]) == (1, 1)
    assert reported("verify", f"sqlite:///{file}", *AGGREGATES)[0] == 0


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        ("version = 'abc'", 1),
        ("version = 2.5", 1),
        ("snapshot_data = x'ff00'", 1),
        ("aggregate_id = CAST(aggregate_id AS BLOB)", 0),
    ],
)
def test_a_replay_goes_on_after_a_malformed_snapshot(damage: str, wrong: int, file: Path) -> None:
    """An id of bytes is no aggregate's."""
    plant(file, snapshot(damage))
    _, report = reported("replay", "hitherto.examples.traffic_fines:Fine", *on(file))
    assert (report["aggregates"], report["wrong"], report["equal"]) == (FINES, wrong, 24)


def test_an_event_that_cannot_be_read_does_not_end_a_replay(file: Path) -> None:
    """Its aggregate cannot be folded; the others are."""
    damage = "UPDATE event_store SET event_data = CAST(x'ff' AS TEXT) WHERE aggregate_id = 'A100'"
    plant(file, damage)
    status, report = reported("replay", "hitherto.examples.traffic_fines:Fine", *on(file))
    assert (status, report["unfoldable"], report["equal"]) == (1, 1, 24)


def on(file: Path) -> tuple[str, str]:
    """The option that names the file."""
    return "--url", f"sqlite:///{file}"


def test_what_cannot_be_read_is_not_read(file: Path) -> None:
    """The report says that there may be more to find."""
    plant(file, event("event_id = 'one'"), snapshot("version = 6"))
    _, report = reported("verify", f"sqlite:///{file}", *AGGREGATES)
    assert report["unread"] is True
    assert report["events"] == report["snapshots"] == 0
    assert kinds(report) == {"value-malformed": 1, "snapshot-ahead": 1}
