"""`hitherto show`, `events`, `stats` and `why`: what they print."""

import asyncio
import json
import os
import sys
from typing import Any
from uuid import uuid4

import apsw
import pytest
from rich.pager import SystemPager
from tests.acceptance.sound_store import AGGREGATES

from hitherto import Metadata, Repository, connect
from hitherto.application.records import StoredEvent
from hitherto.cli.app import run
from hitherto.cli.looking import showing
from hitherto.examples.traffic_fines import Fine
from hitherto.testing.store_contract.making import append_to, new_event


@pytest.fixture
def url(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", fines_url)
    return fines_url


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines on stdout; nothing is on stderr."""
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [line.rstrip() for line in out.splitlines()]


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads("\n".join(printed(capsys, *words, "--json")))


def as_lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(capsys, *words, "--json")]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line on stderr."""
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def stored(url: str, id: str) -> list[StoredEvent]:
    async def read() -> list[StoredEvent]:
        async with connect(url) as store:
            return list(await store.backend.read(id))

    return asyncio.run(read())


class TestShow:
    def test_the_state_and_the_history_are_shown(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A field in a line, and an event in a line."""
        lines = printed(capsys, "show", "A100", *AGGREGATES)
        assert lines[0] == "Fine A100, version 5"
        assert 'amount      "71.5"' in lines
        assert "dismissed   false" in lines
        assert [line.split()[0] for line in lines if "2006-" in line][-1:] == ["2"]
        assert sum("PenaltyAdded" in line for line in lines) == 2, "in a field, and as an event"
        assert not any("before" in line for line in lines)

    def test_an_older_version_is_shown(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """By its number, as it was then."""
        lines = printed(capsys, "show", "A100", *AGGREGATES, "--at", "2")
        assert lines[0] == "Fine A100, version 2 of 5"
        assert 'amount      "35.0"' in lines
        assert not any("PenaltyAdded" in line for line in lines)

    def test_a_time_means_when_it_happened_or_was_stored(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The bound is included; the fines are much older than their store."""
        events = stored(url, "A100")
        happened, written = events[2].occurred_at.isoformat(), events[2].stored_at.isoformat()
        told = as_json(capsys, "show", "A100", *AGGREGATES, "--at", happened, "--occurred")
        assert told["version"] == 3
        same = [each.version for each in events if each.stored_at <= events[2].stored_at]
        assert as_json(capsys, "show", "A100", "--at", written)["version"] == same[-1]
        assert as_json(capsys, "show", "A100", "--at", "2100-01-01")["version"] == 5
        assert "was stored up to" in refused(capsys, "show", "A100", "--at", happened)
        assert "happened up to" in refused(
            capsys, "show", "A100", "--at", "1999-01-01", "--occurred"
        )

    def test_without_its_class_the_history_is_shown(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And how to see more."""
        lines = printed(capsys, "show", "A100")
        assert lines[1] == "Its state can be shown where its class is named, with --aggregates."
        assert as_json(capsys, "show", "A100")["state"] is None

    def test_the_latest_of_a_long_history_are_shown(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And how many there are before."""
        lines = printed(capsys, "show", "A100", "--limit", "2")
        assert lines[-1] == "… and 3 before: see --limit, or `hitherto events`."
        history = as_json(capsys, "show", "A100", "--limit", "2")["history"]
        assert [each["version"] for each in history] == [4, 5]

    def test_a_diff_tells_what_changed_and_by_which_event(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Of one event, or of all between two versions, in either order."""
        lines = printed(capsys, "show", "A100", *AGGREGATES, "--diff", "4")
        assert lines[0] == "Fine A100, what changed from version 3 to 4"
        assert any(
            line.startswith("amount") and '"35.0"' in line and "4 PenaltyAdded" in line
            for line in lines
        )
        for words in (("1", "4"), ("4", "1")):
            told = as_json(capsys, "show", "A100", *AGGREGATES, "--diff", *words)
            assert (told["from_version"], told["version"]) == (1, 4)
            changes = {each["field"]: each for each in told["changes"]}
            assert [each["version"] for each in changes["steps"]["events"]] == [2, 3, 4]
            assert (changes["expense"]["before"], changes["expense"]["after"]) == ("0", "11.0")
            assert "created_at" not in changes

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["nobody"], "'nobody'"),
            (["A100", "--at", "6"], "1 … 5"),
            (["A100", "--at", "yesterday"], "'yesterday' is no time"),
            (["A100", "--diff", "1", "2"], "--aggregates"),
            (["A100", *AGGREGATES, "--diff", "0"], "--diff 0"),
            (["A100", *AGGREGATES, "--diff", "2", "2"], "--diff 2 2"),
            (["A100", *AGGREGATES, "--diff", "1", "9"], "A100"),
            (["A100", *AGGREGATES, "--diff", "2", "--at", "2"], "no --at"),
            (["A100", "--limit", "0"], "--limit"),
            (["A100", "--aggregates", "tests.unit.domain.account"], "stored as 'Fine'"),
        ],
    )
    def test_what_cannot_be_shown_is_an_error(
        self, words: list[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In one line, with the remedy."""
        assert told in refused(capsys, "show", *words)


class TestEvents:
    def test_all_of_an_event_is_told(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """As it is stored."""
        events = stored(url, "A100")
        lines = printed(capsys, "events", "A100", "--from", "3", "--to", "3")
        assert lines[0] == "FineNotified  Fine A100 version 3"
        assert str(events[2].event_id) in lines[1]
        assert lines[3] == f"  data      {events[2].data}"

    def test_lines_of_json_have_all_of_it(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Numbers keep their digits, for the data are written as they are."""
        events = stored(url, "A100")
        found = as_lines(capsys, "events", "A100")
        assert [each["event_id"] for each in found] == [str(each.event_id) for each in events]
        assert [each["data"] for each in found] == [json.loads(each.data) for each in events]
        assert set(found[0]) == set(StoredEvent.__struct_fields__)

    @pytest.mark.parametrize(
        ("words", "versions"),
        [
            ([], [1, 2, 3, 4, 5]),
            (["--backward"], [5, 4, 3, 2, 1]),
            (["--from", "2", "--to", "4"], [2, 3, 4]),
            (["--from", "2", "--to", "4", "--backward", "--limit", "2"], [4, 3]),
            (["--limit", "2"], [1, 2]),
            (["--from", "6"], []),
        ],
    )
    @pytest.mark.parametrize("page", [1, 2, 200])
    def test_a_part_is_read_page_by_page(
        self,
        words: list[str],
        versions: list[int],
        page: int,
        url: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """From either end."""
        monkeypatch.setattr(sys.modules["hitherto.cli.looking.events"], "_PAGE", page)
        assert [each["version"] for each in as_lines(capsys, "events", "A100", *words)] == versions

    def test_damaged_data_are_told_as_they_are(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Whoever looks wants to see them; what a terminal would obey is written out."""
        connection = apsw.Connection("fines.db")
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.execute(
            "UPDATE event_store SET event_data = '{\"a\": \x1b[31m', metadata = 'x' "
            "WHERE aggregate_id = 'A100' AND event_version = 1"
        )
        connection.close()
        lines = printed(capsys, "events", "A100", "--limit", "1")
        assert lines[3:] == [r'  data      {"a": \x1b[31m', "  metadata  x"]
        (event,) = as_lines(capsys, "events", "A100", "--limit", "1")
        assert (event["data"], event["metadata"]) == ('{"a": \x1b[31m', "x")

    def test_an_event_is_a_line_of_json_however_its_data_are_written(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Others may have put line breaks there; a terminal obeys nothing."""
        connection = apsw.Connection("fines.db")
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.execute(
            "UPDATE event_store SET event_data = ? WHERE aggregate_id = 'A100'",
            ('{\n  "a": 1.50,\n  "b": "\x9b2J"\n}',),
        )
        connection.close()
        (line,) = printed(capsys, "events", "A100", "--limit", "1", "--json")
        assert r'"data":{"a":1.50,"b":"\u009b2J"}' in line
        assert r"\u009b2J" in "".join(printed(capsys, "show", "A100", "--json"))

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["nobody"], "'nobody'"),
            (["A100", "--from", "0"], "from_version=0"),
            (["A100", "--limit", "0"], "--limit"),
        ],
    )
    def test_what_cannot_be_read_is_an_error(
        self, words: list[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It names the input."""
        assert told in refused(capsys, "events", *words)


class TestStats:
    def test_a_store_is_told_in_tables(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Its kinds, its longest aggregates, its sizes."""
        lines = printed(capsys, "stats")
        assert lines[0] == "sqlite:///fines.db has 169 events of 40 aggregates."
        assert any(line.startswith("Fine  ") and "169" in line for line in lines)
        assert any(line.startswith("  FineCreated") and "40" in line for line in lines)
        assert any(line.startswith("event_store") and "kB" in line for line in lines)
        assert any("idx_event_store_aggregate_version" in line for line in lines)

    def test_those_that_want_a_snapshot_are_told(
        self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the threshold of the environment."""
        monkeypatch.setenv("EVENT_STORE_SNAPSHOT_THRESHOLD", "2")
        told = as_json(capsys, "stats")
        assert (told["store"], told["snapshot_threshold"]) == (url, 2)
        assert told["wanting"] > 0
        assert all(each["snapshot"] is None for each in told["most_wanting"])
        assert told["longest"][0]["events"] == max(each["events"] for each in told["longest"])
        assert told["watermark"] == 169

    def test_a_sqlite_without_dbstat_tells_the_size_of_the_file(
        self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not every one is made with it."""
        from hitherto.infrastructure.sqlite import looking

        queries = {**looking._SQL, "relations": "SELECT * FROM dbstat_is_not_there"}
        monkeypatch.setattr(looking, "_SQL", queries)
        (relation,) = as_json(capsys, "stats")["relations"]
        assert relation["kind"] == "file"
        assert relation["bytes"] > 10_000

    def test_an_empty_store_is_told_in_two_lines(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """There is nothing to list."""
        assert len(printed(capsys, "stats", "memory:")) == 2


class TestWhy:
    def test_the_tree_is_drawn_with_the_event_marked(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And what else has its correlation id is told below."""
        asked = _caused(url)
        lines = printed(capsys, "why", asked)
        names = [line.strip("├└│─ ") for line in lines if "Fine caused-" in line]
        assert lines[0] == "command or message command-1"
        assert names == [
            "FineCreated  Fine caused-1 v1",
            "FineCreated  Fine caused-2 v1  ◀ asked",
            "FineCreated  Fine caused-3 v1",
        ]
        assert "Other events with the correlation id request-1:" in lines
        told = as_json(capsys, "why", asked)
        assert (told["event_id"], told["tree"]["id"]) == (asked, "command-1")
        (first,) = told["tree"]["effects"]
        assert first["event"]["aggregate_id"] == "caused-1"
        assert first["effects"][0]["id"] == asked
        assert [each["aggregate_id"] for each in told["correlated"]] == ["caused-3"]
        assert told["stops"] == []

    def test_a_deep_tree_is_drawn_and_told(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As deep as may be asked for."""
        ids = [uuid4() for _ in range(220)]
        causes = [json.dumps({"causation_id": str(each)}) for each in [uuid4(), *ids]]
        events = [
            new_event(event_id=each, metadata=cause)
            for each, cause in zip(ids, causes, strict=False)
        ]

        async def fill() -> None:
            async with connect(url) as store:
                await store.backend.append([append_to("deep", events)])

        asyncio.run(fill())
        words = ("why", str(ids[200]), "--depth", "200", "--limit", "1000")
        lines = printed(capsys, *words)
        assert any(line.startswith("Stopped: ") for line in lines)
        assert all(str(ids[number]) in lines[2 * number + 1] for number in range(201))
        tree = as_json(capsys, *words)["tree"]
        for _ in range(200):
            (tree,) = tree["effects"]
        assert tree["id"] == str(ids[200])

    def test_it_says_where_it_stopped(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """And what to ask for instead."""
        lines = printed(capsys, "why", _caused(url), "--depth", "1")
        assert any(line.startswith("Stopped: ") and "--depth" in line for line in lines)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["A100"], "'A100' is no event's id"),
            ([str(uuid4())], "no event has the id"),
            ([str(uuid4()), "--depth", "0"], "depth=0"),
            ([str(uuid4()), "--limit", "0"], "limit=0"),
        ],
    )
    def test_what_is_no_event_is_an_error(
        self, words: list[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It names the input."""
        assert told in refused(capsys, "why", *words)


def _caused(url: str) -> str:
    """Three fines: of a command, of the first one, and beside; the id of the second's event."""

    async def store_them() -> str:
        async with connect(url) as store:
            fines = Repository(store, Fine)
            (created,) = [each.event for each in await fines.history("A100") if each.version == 1]
            ids = ["command-1"]
            for number in (1, 2, 3):
                fine = Fine(f"caused-{number}")
                fine.record(created)
                cause = ids[-1] if number < 3 else None
                told = Metadata(correlation_id="request-1", causation_id=cause)
                await fines.save(fine, metadata=told)
                ids.append(str((await fines.history(fine.id))[0].event_id))
            return ids[2]

    return asyncio.run(store_them())


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "show",
            ["ID", "--url", "--aggregates", "--at", "--diff", "--limit", "--occurred", "--json"],
        ),
        ("events", ["ID", "--url", "--from", "--to", "--limit", "--backward", "--json"]),
        ("log", ["URL", "--after", "--until", "--follow", "--type", "--correlation", "--json"]),
        ("stats", ["URL", "--schema", "--json"]),
        ("why", ["EVENT_ID", "--url", "--depth", "--limit", "--json"]),
    ],
)
def test_help_names_the_options_and_has_an_example(
    command: str, options: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns."""
    lines = printed(capsys, command, "--help")
    assert all(any(option in line for line in lines) for option in options)
    assert any(f"hitherto {command}" in line for line in lines[2:])
    assert max(map(len, lines)) <= 80


class TestScreen:
    @pytest.fixture(autouse=True)
    def shown(self, url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the pager was given, on a terminal of 10 lines."""
        given: list[str] = []
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("LINES", "10")
        monkeypatch.setenv("LESS", "")  # put back afterwards
        monkeypatch.delenv("LESS")
        monkeypatch.setattr(SystemPager, "show", lambda _self, text: given.append(text))
        return given

    def test_what_fits_the_screen_is_printed(
        self, url: str, shown: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """At once."""
        assert run(["log", "-n", "3"]) == 0
        assert "Fine" in capsys.readouterr().out
        assert shown == []

    def test_what_does_not_goes_through_the_pager(
        self, url: str, shown: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Whole."""
        assert run(["log", "-n", "30"]) == 0
        assert capsys.readouterr().out == ""
        (text,) = shown
        assert text.count("\n") > 30
        assert "\x1b[" in text
        assert os.environ["LESS"] == "-R", "else less shows the colours as letters"

    def test_very_much_is_printed_as_it_comes(
        self,
        url: str,
        shown: list[str],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It is not kept in memory."""
        monkeypatch.setattr(showing, "_KEPT", 500)
        assert run(["events", "A100"]) == 0
        assert capsys.readouterr().out.count("event id") == 5
        assert shown == []

    def test_json_is_never_paged(
        self, url: str, shown: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is for programs."""
        assert run(["log", "-n", "30", "--json"]) == 0
        assert capsys.readouterr().out.count("\n") == 30
        assert shown == []
