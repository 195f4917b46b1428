"""`hitherto replay-diff`: what it compares, what it prints, and its exit status."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests.acceptance.versions_of_fine import touched

from hitherto import Repository, connect
from hitherto.application.comparing import Compared, Difference, Failure, FieldChange
from hitherto.cli.app import run
from hitherto.cli.replay_diff.matching import Match, Matches
from hitherto.cli.replay_diff.running import Report
from hitherto.cli.replay_diff.telling import tell
from hitherto.examples.traffic_fines import Fine, history_of, sample_lines
from hitherto.testing.repository_contract.domain import Account

pytestmark = pytest.mark.integration

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HERE = "hitherto.examples.traffic_fines:Fine"
VERSIONS = Path(__file__).parents[2] / "acceptance" / "versions_of_fine.py"
OTHERS = '''
import os
import time
from pathlib import Path

from hitherto import Aggregate
from hitherto.examples.traffic_fines import Fine as Original, FineEvent
from hitherto.testing.repository_contract.domain import Account

print("hello")
with open("processes", "a") as file:
    file.write(f"{os.getpid()}\\n")


class Dying(Original, type="Fine"):
    def apply(self, event):
        super().apply(event)
        if self.id == "A100":
            os.kill(os.getpid(), 9)


class Ending(Original, type="Fine"):
    def apply(self, event):
        super().apply(event)
        if self.id == "A100":
            raise SystemExit(3)


class Hanging(Original, type="Fine"):
    def apply(self, event):
        super().apply(event)
        while self.id == "A100":
            pass


class Slow(Original, type="Fine"):
    def apply(self, event):
        super().apply(event)
        time.sleep(0.1)


class Chatty(Original, type="Fine"):
    def apply(self, event):
        super().apply(event)
        print("hello", flush=True)
        assert not os.read(0, 1)


class Apart(Aggregate[FineEvent], type="Fine"):
    other: int = 0

    def apply(self, event):
        pass


class Broken(Original, type="Fine"):
    def apply(self, event):
        raise ValueError("never")


class Unheard(Original, type="Unheard"):
    pass


class Nested(Original, type="Fine"):
    """It is told in more than a word."""

    paid: dict = {}

    def apply(self, event):
        self.paid = {"euros": str(event.at), "list": ["x" * 100]}

'''
FAILING = "raise RuntimeError('broken')\n"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The 2,000 fines of the sample, which nobody changes."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sample') / 'sample.db'}"
    fill(url)
    return url


def fill(url: str, schema: str = "public") -> None:
    """Put the sample into a store, and an account."""

    async def work() -> None:
        async with connect(url, schema=schema) as store:
            Repository(store, Fine)
            await store.import_events(history_of(sample_lines()))
            await Repository(store, Account).save(Account.open("account-1"))

    asyncio.run(work())


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder, with other versions of the code; in the end no process is left."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    Path("versions.py").write_text(VERSIONS.read_text())
    Path("others.py").write_text(OTHERS)
    Path("failing.py").write_text(FAILING)
    before = set(psutil.Process().children())
    yield
    left = {each for each in psutil.Process().children() if each.name() != "sh"}  # a server's
    assert left <= before


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The status, and the lines on stdout."""
    status = run(["replay-diff", *words])
    return status, capfd.readouterr().out.splitlines()


def reported(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The status, and what is reported as JSON of the one kind of aggregate."""
    status = run(["replay-diff", *words, "--json"])
    report = json.loads(capfd.readouterr().out)
    (found,) = report.pop("results")
    return status, {**report, **found}


def test_an_equivalent_rewrite_is_told_to_be_one(
    sample: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    assert printed(capfd, HERE, "versions:Rewritten", "--url", sample) == (
        0,
        ["Fine: 2,000 folded, none differs"],
    )


def test_a_cent_is_told_with_its_fines(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The numbers first, then the first of them, with the event and the values."""
    status, lines = printed(capfd, HERE, "versions:OffByACent", "--url", sample, "--show", "2")
    expected = touched()
    first, second = sorted(expected)[:2]
    assert status == 1
    assert lines[:4] == [
        f"Fine: {len(expected)} of 2,000 differ",
        f"  First differing event types: PaymentReceived {len(expected)}",
        f"  Fields: paid {len(expected)}",
        "",
    ]
    assert lines[4] == f"{first} since version {expected[first]}"
    assert re.fullmatch(
        r"  PaymentReceived at position \d+, stored \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[5]
    )
    assert lines[6] == '  paid: "161.0" → "161.01"'
    assert lines[8] == f"{second} since version {expected[second]}"
    assert lines[-2:] == ["", f"… and {len(expected) - 2} more"]


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_as_json_every_fine_can_be_told(
    backend: str,
    sample: str,
    request: pytest.FixtureRequest,
    postgres_schema: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Exactly those that are touched, by several processes."""
    url, schema = sample, "public"
    if backend == "postgres":
        url, schema = request.getfixturevalue("postgres_url"), postgres_schema
        fill(url, schema)
    words = ("--url", url, "--schema", schema, "--show", "1000", "--jobs", "4")
    status, report = reported(capfd, HERE, "versions:OffByACent", *words)
    expected = touched()
    differences = report.pop("differences")
    assert status == 1
    assert {each["aggregate_id"]: each["version"] for each in differences} == expected
    assert set(differences[0]) == {
        "aggregate_id", "version", "event_type", "fields", "old_error", "new_error", "position",
        "stored_at", "occurred_at",
    }  # fmt: skip
    assert differences[0]["fields"] == [{"name": "paid", "old": "161.0", "new": "161.01"}]
    assert report == {
        "store": report["store"], "old": HERE, "new": "versions:OffByACent", "equal": False,
        "only_in_old": [], "only_in_new": [], "aggregate_type": "Fine", "aggregates": 2000,
        "events": 8033, "differing": len(expected), "old_fails": 0, "new_fails": 0, "both_fail": 0,
        "fields": {"paid": len(expected)}, "event_types": {"PaymentReceived": len(expected)},
        "failures": [], "compared_fields": list(Fine.definition.fields),
        "fields_only_in_old": [], "fields_only_in_new": [],
    }  # fmt: skip


def test_a_field_that_was_added_is_told_once(
    sample: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else every aggregate would differ, and hide what matters."""
    assert printed(capfd, HERE, "versions:Annotated", "--url", sample) == (
        0,
        [
            "Fine: 2,000 folded, none differs",
            "  Fields only in the new version, not compared: payments",
        ],
    )
    status, report = reported(capfd, "versions:Annotated", HERE, "--url", sample, "--strict")
    assert (status, report["differing"], report["fields"]) == (1, 2000, {"payments": 2000})
    assert report["fields_only_in_old"] == ["payments"]
    assert report["differences"][0]["fields"] == [{"name": "payments", "old": 0}]
    words = ("--strict", "--ignore-field", "payments")
    assert reported(capfd, "versions:Annotated", HERE, "--url", sample, *words)[0] == 0


def test_a_field_may_be_left_out(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What is known to differ, so that the rest is seen."""
    words = ("--url", sample, "--ignore-field", "paid")
    status, report = reported(capfd, HERE, "versions:OffByACent", *words)
    assert (status, report["differing"]) == (0, 0)
    assert "paid" not in report["compared_fields"]
    every = [f"--ignore-field={each}" for each in Fine.definition.fields]
    status, lines = printed(capfd, HERE, HERE, "--url", sample, "--id", "A100", *every)
    assert (status, lines[1:]) == (0, ["  No field is compared, only whether it can be folded"])


def test_some_may_be_chosen(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """By their ids, or by chance."""
    first, *_ = expected = sorted(touched())
    words = (HERE, "versions:OffByACent", "--url", sample)
    status, report = reported(capfd, *words, "--id", first, "--id", "A100", "--id", first)
    assert (status, report["aggregates"], report["differing"]) == (1, 2, 1)
    assert reported(capfd, *words, "--id", "A100")[0] == 0
    _, report = reported(capfd, *words, "--sample", "50", "--show", "50")
    assert report["aggregates"] == 50
    assert {each["aggregate_id"] for each in report["differences"]} <= set(expected)


def test_modules_are_compared_kind_by_kind(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """By their stored names; a kind that only one of them has is told."""
    Path("two.py").write_text(
        "from hitherto.examples.traffic_fines import Fine\n"
        "from hitherto.testing.repository_contract.domain import Account\n"
    )
    words = ("two", HERE.partition(":")[0], "--url", sample)
    assert printed(capfd, *words) == (
        0,
        [
            "Fine: 2,000 folded, none differs",
            "Only in the old version, not compared: Account",
        ],
    )
    assert run(["replay-diff", *words, "--strict"]) == 1
    capfd.readouterr()
    assert printed(capfd, "two", "two", "--url", sample) == (
        0,
        ["Fine: 2,000 folded, none differs", "Account: 1 folded, none differs"],
    )
    assert printed(capfd, "two", "two", "--url", sample, "--id", "account-1") == (
        0,
        ["Account: 1 folded, none differs"],
    )


def test_what_fails_is_told(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """In one version with both errors; in both alike on its own."""
    count, first = len(touched()), min(touched())
    words = ("versions:Failing", "--url", sample, "--show", "1")
    status, lines = printed(capfd, HERE, *words)
    assert status == 1
    assert f"  The new version fails to fold: {count}" in lines
    assert lines[-4:-2] == ["  old: folds it", "  new: ZeroDivisionError: too much"]
    assert printed(capfd, "versions:Failing", *words) == (
        0,
        [
            f"Fine: {2000 - count:,} folded, none differs",
            f"  Both fail to fold, alike: {count}, such as {first!r}: ZeroDivisionError: too much",
        ],
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("others:Unheard", ["Unheard: none is stored"]),
        (
            "others:Broken",
            [
                "Fine: none could be folded",
                "  Both fail to fold, alike: 2,000, such as 'A1': ValueError: never",
            ],
        ),
    ],
)
def test_where_nothing_could_be_compared_nothing_is_equal(
    sample: str, capfd: pytest.CaptureFixture[str], kind: str, told: Sequence[str]
) -> None:
    """It may be another store than the one that was meant."""
    lines = [*told, "Nothing could be compared."]
    assert printed(capfd, kind, kind, "--url", sample) == (1, lines)


def test_what_a_terminal_would_obey_is_written_out(capfd: pytest.CaptureFixture[str]) -> None:
    """Ids, names, errors and values are whatever somebody has stored."""
    bad = "a\n\x1b[2J\x9b"
    one = Difference(
        aggregate_id=bad,
        version=1,
        event_type=bad,
        fields=(FieldChange(name=bad, old=msgspec.Raw(msgspec.json.encode(bad))),),
    )
    found = Compared(
        aggregate_type=bad,
        aggregates=3,
        events=3,
        differing=2,
        old_fails=0,
        new_fails=1,
        both_fail=1,
        fields={bad: 1},
        event_types={bad: 1},
        differences=(one, msgspec.structs.replace(one, fields=(), new_error=bad)),
        failures=(Failure(aggregate_id=bad, version=0, error=bad),),
    )
    match = Match(aggregate_type=bad, fields=(bad,), only_in_old=(bad,), only_in_new=())
    matches = Matches(kinds=(match,), only_in_old=(bad,), only_in_new=())
    tell(Report(matches=matches, results=(found,), strict=False))
    lines = capfd.readouterr().out.split("\n")
    assert len(lines) == 17
    assert all(line.isprintable() for line in lines)


def test_values_are_looked_into_and_cut(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What differs inside an object is named, and a line stays a line."""
    Path("more.py").write_text(OTHERS.replace('"euros": str(event.at)', '"euros": 2'))
    words = ("others:Nested", "more:Nested", "--url", sample, "--id", "A100")
    status, lines = printed(capfd, *words)
    assert status == 1
    (told,) = [line for line in lines if line.startswith("  paid.")]
    assert re.fullmatch(r'  paid\.euros: "2006-[^"]*" → 2', told)
    _, lines = printed(capfd, HERE, "others:Nested", "--url", sample, "--id", "A100")
    (told,) = [line for line in lines if line.startswith("  paid")]
    assert len(told) < 100
    assert told.endswith("…")


def test_each_version_is_folded_by_as_many_processes(
    sample: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two in all at least, so that two processors are at work."""
    for jobs, processes in ((1, 2), (2, 2), (5, 4)):
        words = ("others:Slow", "others:Slow", "--url", sample, "--id", "A100")
        assert printed(capfd, *words, "--jobs", str(jobs))[0] == 0
        found = Path("processes").read_text().split()
        assert len(found) == len(set(found)) == processes
        Path("processes").unlink()


@pytest.mark.parametrize(
    ("version", "options", "told"),
    [
        ("Dying", [], "has ended, by SIGKILL, at one of 1 "),
        ("Ending", [], "has ended, with status 3, at one"),
        ("Hanging", ["--timeout", "5"], "has not got on for 5 s at one of"),
    ],
)
def test_a_process_that_is_lost_is_an_error(
    version: str, options: list[str], told: str, sample: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It names the version and where it was; it does not hang, and no process is left."""
    started = time.monotonic()
    words = ("--url", sample, "--id", "A100", *options)
    assert run(["replay-diff", HERE, f"others:{version}", *words]) == 1
    assert time.monotonic() - started < 50
    out, err = capfd.readouterr()
    assert out == ""
    assert f"hitherto: the process that folds with others:{version} {told}" in err
    assert "'A100' … 'A100': try some with --id" in err


def test_what_a_fold_prints_is_no_answer(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It comes out on stderr; nor does a fold read what is not meant for it."""
    words = (HERE, "others:Chatty", "--url", sample, "--id", "A100")
    assert printed(capfd, *words) == (0, ["Fine: 1 folded, none differs"])


def test_one_that_is_slow_is_waited_for(sample: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It is silent for longer than that in all, but gives signs of life."""
    ids = [word for each in sorted(touched())[:12] for word in ("--id", each)]
    words = ("--url", sample, "--timeout", "5", *ids)
    status, report = reported(capfd, HERE, "others:Slow", *words)
    assert status == 0
    assert report["events"] * 0.1 > 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing:Fine", HERE], "'nothing:Fine': the module 'nothing' cannot be imported"),
        ([HERE, "failing:Fine"], "RuntimeError: broken"),
        ([HERE, "others:Nobody"], "the module 'others' has no 'Nobody'; it has Account, Apart"),
        (["others", HERE], "'others' has two that are stored as 'Fine'"),
        ([HERE, "json"], "the module 'json' has no aggregate class"),
        (["", HERE], "'' names no code"),
        ([HERE, "others:"], "'others:' names no code"),
        ([HERE, "others:Slow@"], "'others:Slow@' names no code"),
        (["postgresql://u:secret@host/db", HERE], "what looks like a URL names no code"),
        ([HERE, "others:Account"], "the old version has Fine, the new one Account"),
        ([HERE, "others:Apart"], "the two versions of 'Fine' have no field in common"),
        ([HERE, HERE, "--ignore-field", "payed"], "no field is named 'payed': they are amount, "),
        ([HERE, HERE, "--id", "A2"], "there is no Fine with id 'A2'"),
        ([HERE, HERE, "--id", "account-1"], "there is no Fine with id 'account-1'"),
        ([HERE, HERE, "--id", ""], "aggregate id is empty"),
        ([HERE, HERE, "--id", "A100", "--sample", "5"], "give --id or --sample, not both"),
        ([HERE, HERE, "--sample", "0"], "--sample 0: give at least 1"),
        ([HERE, HERE, "--show", "-1"], "--show -1: give at least 0"),
        ([HERE, HERE, "--jobs", "0"], "--jobs 0: give at least 1"),
        ([HERE, HERE, "--timeout", "nan"], "--timeout nan: give at least 1"),
        ([HERE, HERE, "--url", "memory:"], "memory: holds nothing that was stored"),
        ([HERE, HERE, "--url", "sqlite:///nothing.db"], "nothing.db"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    words: Sequence[str], told: str, sample: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr; what modules print is there, too."""
    url = () if "--url" in words else ("--url", sample)
    assert run(["replay-diff", *words, *url]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line != "hello"]
    assert len(lines) == 1, err
    assert lines[0].startswith("hitherto: ")
    assert told in lines[0]
    assert "secret" not in err
    assert not Path("nothing.db").exists()


def test_what_is_wrong_is_told_before_the_store_is_read(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """There is none here."""
    assert run(["replay-diff", HERE, "failing:Fine", "--url", "sqlite:///nothing.db"]) == 1
    assert "RuntimeError: broken" in capfd.readouterr().err


def test_a_relative_url_and_the_environment_will_do(
    sample: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As for other commands; a name with special characters too."""
    Path("a %file.db").write_bytes(Path(sample.removeprefix("sqlite:///")).read_bytes())
    monkeypatch.setenv("DATABASE_URL", "sqlite:///a %25file.db")
    assert printed(capfd, HERE, HERE)[0] == 0


def test_bars_are_shown_on_a_terminal(
    sample: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that the result can be piped."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert run(["replay-diff", HERE, HERE, "--url", sample, "--sample", "70", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["equal"] is True
    assert re.search(r"Fine.* 70/70", STYLES.sub("", err))
