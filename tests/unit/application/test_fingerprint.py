"""The fingerprint changes with the code that a snapshot depends on, and with nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = """
from collections.abc import Iterable
from functools import lru_cache, singledispatchmethod
import msgspec
from hitherto import Aggregate, Decider, Event
from hitherto.application.fingerprint import fingerprint

class Money(msgspec.Struct, frozen=True):
    amount: int

class Paid(Event):
    money: Money
    tags: frozenset[str] = frozenset({"cash", "card", "cheque", "coin"})

class Noted(Event):
    text: str

def doubled(number):
    return 2 * number

@lru_cache
def tripled(number):
    return 3 * number

def unused(number):
    return number

class Fine(Aggregate[Paid | Noted]):
    total: int = 0
    notes: list[str] = []

    def pay(self, amount: int) -> None:
        self.record(Paid(money=Money(amount)))

    def apply(self, event: Paid | Noted) -> None:
        match event:
            case Paid(money=money):
                self.total += doubled(money.amount) + self.share + self.fixed(1)
            case Noted(text=text):
                self.notes.extend(self.trimmed(word) for word in text.split())

    @property
    def share(self) -> int:
        return tripled(self.total)

    @staticmethod
    def fixed(number: int) -> int:
        return number + 10

    def trimmed(self, word: str) -> str:
        return word.strip(" ")

class Dispatching(Aggregate[Paid | Noted]):
    total: int = 0

    @singledispatchmethod
    def apply(self, event: Paid | Noted) -> None:
        raise TypeError(event)

    @apply.register
    def _(self, event: Paid) -> None:
        self.total += event.money.amount * 7

class Counting(Decider[int, Noted, str]):
    initial = 0

    def decide(self, state: int, command: str) -> Iterable[Noted]:
        return [Noted(text=command)]

    def evolve(self, state: int, event: Noted) -> int:
        return doubled(state) + 1
"""
TOLD = "\nfor kind in (Fine, Dispatching, Counting):\n    print(fingerprint(kind.definition))\n"


def fingerprints(source: str, folder: Path, *, seed: str = "0") -> dict[str, str]:
    """What a process of its own that runs `source` computes, by aggregate type."""
    script = folder / "model.py"
    script.write_text(source + TOLD, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, script],
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return dict(zip(("Fine", "Dispatching", "Counting"), told, strict=True))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return fingerprints(BEFORE, tmp_path_factory.mktemp("before"))


def test_it_is_the_same_in_every_process(before: dict[str, str], tmp_path: Path) -> None:
    """Whatever the order in which this process iterates over sets."""
    assert fingerprints(BEFORE, tmp_path, seed="1") == before
    assert len(set(before.values())) == 3


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("total: int = 0\n    notes", "total: float = 0\n    notes", {"Fine"}),
        ("notes: list[str] = []", "notes: list[str] = []\n    more: int = 0", {"Fine"}),
        ("notes: list[str]", "notes: list[bytes]", {"Fine"}),
        ("amount: int\n", "amount: int\n    currency: str = ''\n", {"Fine", "Dispatching"}),
        ("class Paid(Event)", "class Paid(Event, schema=2)", {"Fine", "Dispatching"}),
        ("class Paid(Event)", "class Paid(Event, type='paid')", {"Fine", "Dispatching"}),
        ("text: str", "text: str = 'none'", {"Fine", "Dispatching", "Counting"}),
        ("ate[Paid | Noted]):\n    t", "ate[Paid | Noted], snapshot_version=2):\n    t",
         {"Fine", "Dispatching"}),
        ("self.total +=", "self.total -=", {"Fine", "Dispatching"}),
        ("2 * number", "4 * number", {"Fine", "Counting"}),
        ("3 * number", "5 * number", {"Fine"}),
        ("number + 10", "number + 11", {"Fine"}),
        ('strip(" ")', 'strip("-")', {"Fine"}),
        ("amount * 7", "amount * 8", {"Dispatching"}),
        ("doubled(state) + 1", "doubled(state) + 2", {"Counting"}),
        ("Decider[int,", "Decider[float,", {"Counting"}),
    ],
)  # fmt: skip
def test_it_changes_with_what_the_fold_depends_on(
    before: dict[str, str], tmp_path: Path, old: str, new: str, changed: set[str]
) -> None:
    """State, events, their parts, and every function of the module that the fold comes to."""
    assert old in BEFORE
    after = fingerprints(BEFORE.replace(old, new), tmp_path)
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return number\n", "    return -number\n"),
        ("Money(amount)", "Money(amount + 1)"),
        ("total: int = 0\n    notes", "total: int = 7\n    notes"),
        ("Noted(text=command)", "Noted(text=command + '!')"),
        ("\nclass Fine", "\nLIMIT = 3\n\nclass Fine"),
    ],
)
def test_it_does_not_change_with_anything_else(
    before: dict[str, str], tmp_path: Path, old: str, new: str
) -> None:
    """Decisions, defaults of the state, and functions that the fold does not use."""
    assert old in BEFORE
    assert fingerprints(BEFORE.replace(old, new), tmp_path) == before


WITHOUT_SOURCE = """
from hitherto import Aggregate, Event
from hitherto.application.fingerprint import fingerprint

class Noted(Event):
    text: str

def weight(part):
    return weight(part - 1) + 2 if part else 0

class Note(Aggregate[Noted]):
    total: int = 0

    def apply(self, event: Noted) -> None:
        self.total += sum(weight(part) * 3 for part in (1, 2)) * (event.text in {"a", "b", "c"})

told = fingerprint(Note.definition)
"""


def test_code_without_its_source_is_told_by_what_it_was_compiled_to() -> None:
    """A function inside the fold counts too, and one that calls itself counts once."""

    def told(source: str) -> object:
        names: dict[str, object] = {"__name__": "typed at a prompt"}
        exec(source, names)
        return names["told"]

    before = told(WITHOUT_SOURCE)
    assert told("\n" + WITHOUT_SOURCE) == before
    for old, new in ((" * 3", " * 4"), (") + 2", ") + 3"), ('"c"', '"d"'), ("+=", "-=")):
        assert told(WITHOUT_SOURCE.replace(old, new)) != before


def test_code_without_its_source_is_told_alike_in_every_process() -> None:
    """The order of a set among its constants is nobody's business."""
    told = {
        subprocess.run(
            [sys.executable, "-c", WITHOUT_SOURCE + "print(told)"],
            env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
