"""`hitherto demo` on a file and in memory: what it tells is so, and what it leaves is there."""

import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from hitherto.cli.app import run
from hitherto.examples.traffic_fines import ACTIVITIES

ACTIVITY_COUNTS = {
    "Create Fine": 2000,
    "Send Fine": 1413,
    "Payment": 1183,
    "Insert Fine Notification": 1103,
    "Add penalty": 1103,
    "Send for Credit Collection": 749,
    "Insert Date Appeal to Prefecture": 136,
    "Send Appeal to Prefecture": 121,
    "Receive Result Appeal from Prefecture": 91,
    "Notify Result Appeal to Offender": 78,
    "Appeal to Judge": 56,
}
# The sample, two payments of the two clerks, and the fine that is paid in instalments.
LEFT = 8033 + 2 + 5000


@dataclass
class Told:
    """What a run of the demo has printed, where it ran, and the files that were there then."""

    text: str
    folder: Path
    files: list[str]

    def has(self, *words: str) -> bool:
        """Whether one line has these words in this order, with anything between them."""
        return bool(re.search(".*".join(map(re.escape, words)), self.text))

    def commands(self) -> list[str]:
        """The commands that it suggests."""
        return re.findall(r"^\$ (.*)$", self.text, re.MULTILINE)


@pytest.fixture(autouse=True)
def _not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, no colours, whatever the surroundings say; and another default store."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("DATABASE_URL", "nonsense")


def tell(folder: Path, *options: str) -> Told:
    """Run the demo in a folder."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setenv("TTY_COMPATIBLE", "0")
        patch.setenv("COLUMNS", "80")
        status = run(["demo", *options])
    assert status == 0
    return Told(printed.getvalue(), folder, [path.name for path in folder.iterdir()])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo on its file, run once for the tests that only read."""
    return tell(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def connection(told: Told) -> Iterator[apsw.Connection]:
    """The file that is left, as SQLite sees it."""
    connection = apsw.Connection(str(told.folder / "hitherto-demo.db"), apsw.SQLITE_OPEN_READONLY)
    yield connection
    connection.close()


class TestWhatIsTold:
    def test_the_import_is_counted(self, told: Told) -> None:
        """All fines, and every activity."""
        assert told.has("2,000 fines with 8,033 events in ", " s: ", " events a second.")
        assert told.has("importing", "2000/2000")
        assert set(ACTIVITY_COUNTS) == {activity.name for activity in ACTIVITIES}
        for activity, count in ACTIVITY_COUNTS.items():
            assert re.search(rf"^ +{activity} +{count:,} +█+ *$", told.text, re.MULTILINE), activity

    def test_the_history_shows_what_is_open_after_each_event(self, told: Told) -> None:
        """Of the fine to which most has happened."""
        assert told.has("The history of fine C16950 ")
        assert told.has(" 1 ", "2003-09-17", "FineCreated", "137.55, article 41", "137.55")
        assert told.has(" 6 ", "2003-11-16", "PenaltyAdded", "now 275.10", "275.10")
        assert told.has(" 9 ", "2004-02-21", "JudgeAppealed", "dismissal NIL", "275.10")
        assert told.has("12 ", "2005-05-12", "PaymentReceived", "paid 51.19", "121.53")

    def test_an_earlier_version_is_shown_beside_the_latest(self, told: Told) -> None:
        """Two payments lie between."""
        assert told.has("await fines.load('C16950', version=10)")
        assert told.has("Version 10", "Version 12")
        assert told.has("outstanding", "223.91", "121.53")
        assert told.has("latest event", "2005-03-10", "2005-05-12")

    def test_one_of_two_writers_meets_a_conflict(self, told: Told) -> None:
        """And both payments are in at the end."""
        assert told.has("saves: version 13 ", "stored")
        assert told.has("saves: version 13 as well", "AggregateVersionConflict")
        assert told.has("was told: aggregate 'C16950' is at version 13, not at the expected 12")
        assert told.has(
            "Now at version 14: both payments are in, 101.53 euros are outstanding."
        )  # fmt: skip

    def test_a_snapshot_leads_to_the_same_state(self, told: Told) -> None:
        """As the full fold."""
        assert told.has("full fold", "5,000", " ms")
        assert told.has("snapshot + later events", " 20 ", " ms")
        assert told.has("The two states are the same in every field.")

    def test_the_years_are_summed(self, told: Told) -> None:
        """The clerks' payments included."""
        assert told.has(" 2000 ", " 131 ", "10,125.79", "7,795.23")
        assert told.has(" 2013 ", " 9 ", "1,124.00", "1,049.00")
        assert told.has(" all ", "2,000", "164,436.51", "107,610.33")

    def test_it_fits_into_80_columns(self, told: Told) -> None:
        """But for the commands, which are left in one piece."""
        lines = [line for line in told.text.splitlines() if not line.startswith("$")]
        assert max(map(len, lines)) <= 80
        assert len(told.commands()) == 4


class TestWhatIsLeft:
    def test_the_file_holds_the_events(self, told: Told, connection: apsw.Connection) -> None:
        """Each kind as often as was told."""
        rows = connection.execute("SELECT event_type, count(*) FROM event_store GROUP BY 1")
        counts = Counter({str(name): int(str(count)) for name, count in rows})
        assert counts.total() == LEFT
        for activity in ACTIVITIES:
            extra = {"Create Fine": 1, "Payment": 2 + 4999}.get(activity.name, 0)
            assert counts[activity.event.__name__] == ACTIVITY_COUNTS[activity.name] + extra

    def test_nothing_else_is_left(self, told: Told) -> None:
        """One file, and it is named."""
        assert told.files == ["hitherto-demo.db"]
        assert told.has("The events are in the file hitherto-demo.db.")

    @pytest.mark.integration
    def test_the_suggested_commands_run(self, told: Told) -> None:
        """As they are printed, where the demo ran."""
        answers = [
            subprocess.run(
                command, shell=True, cwd=told.folder,
                capture_output=True, text=True, check=True, timeout=60,
            )
            for command in told.commands()
        ]  # fmt: skip
        counts, shown, loaded, schema = (answer.stdout for answer in answers)
        assert re.search(r"PaymentReceived\D+6184\b", counts)
        assert shown.startswith("Fine C16950, version 3 of 14\n")
        assert loaded == "137.55\n"
        assert schema.startswith("BEGIN;\nCREATE TABLE")
        assert [answer.stderr for answer in answers] == ["", "", "", ""]


class TestAnotherRun:
    def test_it_starts_over(self, tmp_path: Path) -> None:
        """The same ids and the same number of events; leftovers of SQLite's go, too."""
        tell(tmp_path)
        (tmp_path / "hitherto-demo.db-wal").write_bytes(b"of a run that was killed")
        (tmp_path / "hitherto-demo.db-shm").write_bytes(b"likewise")
        again = tell(tmp_path)
        assert again.has("2,000 fines with 8,033 events")
        assert again.has("The history of fine C16950 ")
        connection = apsw.Connection(str(tmp_path / "hitherto-demo.db"))
        assert connection.execute("SELECT count(*) FROM event_store").get == LEFT
        connection.close()

    def test_a_file_of_ones_own_is_added_to(self, tmp_path: Path) -> None:
        """Under new ids; and each run counts what it has stored itself."""
        url = f"sqlite:///{tmp_path}/mine.db"
        tell(tmp_path, "--url", url)
        again = tell(tmp_path, "--url", url)
        assert again.has("2,000 fines with 8,033 events")
        assert again.has("Payment", "1,183")
        assert again.has("The history of fine run2-C16950 ")
        assert again.has(" all ", "2,000", "164,436.51", "107,610.33")
        connection = apsw.Connection(str(tmp_path / "mine.db"))
        assert connection.execute("SELECT count(*) FROM event_store").get == 2 * LEFT
        connection.close()

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
    def test_a_file_that_cannot_be_replaced_is_named(
        self,
        suffix: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """In one line, with the status of an error."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / f"hitherto-demo.db{suffix}").mkdir()
        assert run(["demo"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"hitherto: cannot replace hitherto-demo.db{suffix}: ")
        assert err.count("\n") == 1


class TestElsewhere:
    def test_memory_leaves_nothing(self, tmp_path: Path) -> None:
        """And says so."""
        told = tell(tmp_path, "--url", "memory:")
        assert told.has("2,000 fines with 8,033 events")
        assert told.has("The two states are the same in every field.")
        assert told.has("The events were in memory, and are gone.")
        assert told.files == []

    def test_an_empty_url_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rather than taken for the file: a variable may not be set."""
        monkeypatch.chdir(tmp_path)
        assert run(["demo", "--url", ""]) == 1
        assert list(tmp_path.iterdir()) == []

    def test_an_output_without_the_bars_in_its_encoding_is_no_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The words and the numbers are there."""
        printed = io.BytesIO()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
        assert run(["demo", "--url", "memory:"]) == 0
        sys.stdout.flush()
        text = printed.getvalue().decode("latin-1")
        assert "2,000 fines with 8,033 events" in text
        assert re.search(r"Create Fine +\| +2,000 \| *\?{24}", text)
