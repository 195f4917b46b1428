"""The fingerprint changes with the code that a snapshot depends on, and with nothing else."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hitherto.application.fingerprint import fingerprint
from hitherto.domain.definition import Definition

BEFORE = """
from collections.abc import Iterable
from functools import lru_cache, singledispatchmethod
import msgspec
from hitherto import Aggregate, Decider, Event

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

RICH = """
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import cached_property, partial, wraps
from plistlib import FMT_BINARY, FMT_XML
from typing import Generic, TypeVar
import msgspec
from hitherto import Aggregate, Decider, Event

RATE, FEES = Decimal("3.5"), {"cash": 4, "card": 5}
WORDS = re.compile("x" * 250 + "a+")
LIMITS = frozenset({frozenset({"a", "d", "e"}), frozenset({"b", "c", "f"})})
T = TypeVar("T")

class Mood(Enum):
    GOOD = "good"

class Money(msgspec.Struct, frozen=True):
    amount: int

    def __add__(self, other):
        return Money(self.amount + other.amount + 6)

class Line(msgspec.Struct, frozen=True):
    price: Money = Money(0)
    mood: Mood = Mood.GOOD

    def plus(self, money):
        return Line(self.price + money)

class Paid(Event):
    money: Money

    def doubled(self):
        return self.money.amount * 20

def adder(step):
    return lambda number: number + step

adding, taking = adder(step=7), partial(pow, 2, 8)

def twice(function):
    @wraps(function)
    def wrapper(*args):
        return function(*args) * 9
    return wrapper

@twice
def decorated(number):
    return number - 10

def defaulted(number, step=FEES["cash"] + 11):
    return number + step

def up(number):
    return number + 12

def down(number):
    return number - 13

STEPS = {"up": up, "down": down}

class Meta(type):
    def __call__(cls):
        return super().__call__() or 31

class Rounding(metaclass=Meta):
    places = 14

    def to(self, number):
        return round(number, self.places) + 15

@dataclass
class Policy:
    share: int
    bonus: int = 16
    marks: list[int] = field(default_factory=lambda: [17])

    def of(self, number):
        return number * self.share

POLICY = Policy(18)

class Scale(msgspec.Struct):
    unit: int = 32

    def by(self, number):
        return number * 33

class Weight(msgspec.Struct):
    unit: int = 38

class Bag(dict):
    def of(self, number):
        return number * 34

class Name(str):
    pass

def stepped(step, number):
    return step + number + 35

def spread(*numbers):
    return max(numbers)

BAG, NAME, FORMAT = Bag(), Name("bag"), FMT_XML
scaled, stepping = Scale().by, partial(stepped, 1)

class Box(msgspec.Struct, Generic[T]):
    content: T

    def opened(self):
        return 36

class Base:
    step = 19

    def apply(self, event):
        self.credit += 21

class Purse(Base, Aggregate[Paid]):
    credit: int = 22
    marks: list[str] = ["first"]
    line: Line = Line()
    started: int
    box: Box[int]

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.started = 23

    def spend(self) -> None:
        self.record(Paid(money=Money(24)))

    def apply(self, event: Paid) -> None:
        super().apply(event)
        self.line = self.line.plus(event.money)
        self.credit += RATE + FEES["cash"] + len(WORDS.findall("aa")) + event.doubled()
        self.credit += adding(1) + taking() + decorated(1) + defaulted(1) + STEPS["up"](1)
        self.credit += Rounding().to(1) + POLICY.of(1) + self.step + self.made() + len(LIMITS)
        self.credit += up(1) + down(1) + BAG.of(1) + len(NAME + str(FORMAT)) + self.cached
        self.credit += scaled(1) + stepping(1) + spread((1, 2))[0] + Weight().unit

    @cached_property
    def cached(self) -> int:
        return 37

    @classmethod
    def made(cls) -> int:
        return 25

class Named(Aggregate[Paid]):
    credit: int = 0

    def apply(self, event: Paid) -> None:
        getattr(self, f"on_{type(event).__name__.lower()}")(event)

    def on_paid(self, event: Paid) -> None:
        self.credit += 26

class Initial(msgspec.Struct):
    size: int = 27

class Counting(Decider[Initial, Paid, str]):
    initial = Initial(28)

    def decide(self, state: Initial, command: str) -> Iterable[Paid]:
        return [Paid(money=Money(29))]

    def evolve(self, state: Initial, event: Paid) -> Initial:
        return Initial(state.size + 30)
"""


def told(source: str) -> dict[str, str]:
    """The fingerprints of what `source` declares, by aggregate type."""
    names: dict[str, Any] = {"__name__": "model"}
    exec(source, names)
    found: list[Definition] = [
        vars(each)["definition"]
        for each in names.values()
        if issubclass(type(each), type) and "definition" in vars(each)
    ]
    return {each.aggregate_type: fingerprint(each) for each in found}


def changed(source: str, old: str, new: str) -> set[str]:
    assert old in source
    before, after = told(source), told(source.replace(old, new))
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("total: int = 0\n    notes", "total: float = 0\n    notes", {"Fine"}),
        ("total: int = 0\n    notes", "total: int = 7\n    notes", {"Fine"}),
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
def test_it_changes_with_what_the_fold_depends_on(old: str, new: str, expected: set[str]) -> None:
    """State, events, their parts, and every function that the fold comes to."""
    assert changed(BEFORE, old, new) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("credit: int = 22", "credit: int = 99", {"Purse"}),
        ('["first"]', '["second"]', {"Purse"}),
        ("self.started = 23", "self.started = 99", {"Purse"}),
        ("Initial(28)", "Initial(99)", {"Counting"}),
        ("size: int = 27", "size: int = 99", {"Counting"}),
        ("credit += 21", "credit += 99", {"Purse"}),
        ("step = 19", "step = 99", {"Purse"}),
        ("return 25", "return 99", {"Purse"}),
        ("credit += 26", "credit += 99", {"Named"}),
        ("Line(self.price + money)", "Line(money + self.price)", {"Purse"}),
        ("other.amount + 6", "other.amount + 99", {"Purse", "Named", "Counting"}),
        ('GOOD = "good"', 'GOOD = "bad"', {"Purse"}),
        ("amount * 20", "amount * 99", {"Purse", "Named", "Counting"}),
        ('Decimal("3.5")', 'Decimal("99")', {"Purse"}),
        ('"card": 5', '"card": 99', {"Purse"}),
        ('250 + "a+"', '250 + "b+"', {"Purse"}),
        ('"c", "f"})', '"c", "z"})', {"Purse"}),
        ("adder(step=7)", "adder(step=99)", {"Purse"}),
        ("number + step\n\nadding", "number - step\n\nadding", {"Purse"}),
        ("pow, 2, 8", "pow, 2, 99", {"Purse"}),
        ("* 9", "* 99", {"Purse"}),
        ("number - 10", "number - 99", {"Purse"}),
        ('FEES["cash"] + 11', 'FEES["card"] + 11', {"Purse"}),
        ("number - 13", "number - 99", {"Purse"}),
        ('"up": up, "down": down', '"up": down, "down": up', {"Purse"}),
        ("places = 14", "places = 99", {"Purse"}),
        ("+ 15", "+ 99", {"Purse"}),
        ("bonus: int = 16", "bonus: int = 99", {"Purse"}),
        ("[17]", "[99]", {"Purse"}),
        ("Policy(18)", "Policy(99)", {"Purse"}),
        ("number * self.share", "number / self.share", {"Purse"}),
        ("or 31", "or 99", {"Purse"}),
        ("unit: int = 32", "unit: int = 99", {"Purse"}),
        ("unit: int = 38", "unit: int = 99", {"Purse"}),
        ("number * 33", "number * 99", {"Purse"}),
        ("number * 34", "number * 99", {"Purse"}),
        ("number + 35", "number + 99", {"Purse"}),
        ("return 36", "return 99", {"Purse"}),
        ("return 37", "return 99", {"Purse"}),
        ('Name("bag")', 'Name("sack")', {"Purse"}),
        ("), FMT_XML", "), FMT_BINARY", {"Purse"}),
        ("spread(*numbers)", "spread(numbers)", {"Purse"}),
        ("self.line.plus", "self.line.less", {"Purse"}),
    ],
)  # fmt: skip
def test_it_changes_with_what_the_fold_comes_to_roundabout(
    old: str, new: str, expected: set[str]
) -> None:
    """Defaults, constants, bases, parts, helpers, closures, decorators, methods found by name."""
    assert RICH.count(old) == 1
    assert changed(RICH, old, new) == expected


POSITIONS = """
from operator import attrgetter
from hitherto import Aggregate, Event

class Sold(Event):
    net: int
    tax: int
    __match_args__ = ("net", "tax")

rate = {"low": 40}.get

class Sale(Aggregate[Sold]):
    total: int = 0

    def add(self, number):
        self.total += number * 41

    def apply(self, event):
        match event:
            case Sold(amount):
                attrgetter("add")(self)(amount + rate("low"))
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [('("net", "tax")', '("tax", "net")'), ('{"low": 40}', '{"low": 99}'), ("* 41", "* 99")],
)
def test_it_changes_with_positions_and_with_what_built_in_methods_are_bound_to(
    old: str, new: str
) -> None:
    """A pattern without names goes by the order that the class tells."""
    assert changed(POSITIONS, old, new) == {"Sale"}


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (BEFORE, "    return number\n", "    return -number\n"),
        (BEFORE, "Money(amount)", "Money(amount + 1)"),
        (BEFORE, "Noted(text=command)", "Noted(text=command + '!')"),
        (BEFORE, "\nclass Fine", "\nLIMIT = 3\n\nclass Fine"),
        (BEFORE, "        match event:", "\n        # Why.\n        match event:"),
        (RICH, "Money(24)", "Money(99)"),
        (RICH, "Money(29)", "Money(99)"),
    ],
)
def test_it_does_not_change_with_anything_else(source: str, old: str, new: str) -> None:
    """Decisions, comments, and functions and constants that the fold does not use."""
    assert changed(source, old, new) == set()


@pytest.mark.parametrize("source", [BEFORE, RICH])
def test_it_is_the_same_in_every_process(source: str, tmp_path: Path) -> None:
    """Whatever the order of its sets, and whether it was compiled just now or before."""
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    script = (
        "import model\n"
        "from hitherto.application.fingerprint import fingerprint\n"
        "for kind in vars(model).values():\n"
        "    if isinstance(kind, type) and 'definition' in vars(kind):\n"
        "        print(fingerprint(kind.definition))\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={
                "PYTHONPATH": ":".join(filter(None, [str(tmp_path), *sys.path])),
                "PYTHONHASHSEED": seed,
            },
            capture_output=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2", "3", "4")
    ]
    assert len(set(outputs[0])) == 3
    assert outputs == outputs[:1] * 4


def test_it_is_the_same_for_a_program_that_is_run_and_for_who_imports_it(tmp_path: Path) -> None:
    """Else a worker and a web process would replace each other's snapshots for ever."""
    tell = (
        "from hitherto.application.fingerprint import fingerprint\n"
        "print([fingerprint(kind.definition) for kind in (Fine, Counting)])\n"
    )
    (tmp_path / "model.py").write_text(BEFORE + tell, encoding="utf-8")
    # As a process that multiprocessing has spawned sees the program of its parent.
    spawned = "import runpy; runpy.run_path('model.py', run_name='__mp_main__')"
    alias = "import sys; sys.modules['__mp_main__'] = sys.modules['__main__']\n"
    (tmp_path / "spawned.py").write_text(alias + "__file__ = 'model.py'\n" + spawned)
    outputs = {
        subprocess.run(
            [sys.executable, *arguments],
            env={"PYTHONPATH": ":".join(filter(None, [str(tmp_path), *sys.path]))},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for arguments in (["-c", "import model"], ["-m", "model"], ["model.py"], ["spawned.py"])
    }
    assert len(outputs) == 1


def test_it_is_the_same_after_use() -> None:
    """Nothing that a fold leaves behind counts: caches, or what the interpreter makes faster."""
    names: dict[str, Any] = {"__name__": "model"}
    exec(RICH, names)
    definition = names["Purse"].definition
    before = fingerprint.__wrapped__(definition)
    purse = names["Purse"]("p-1")
    for _ in range(200):
        purse.apply(names["Paid"](money=names["Money"](1)))
    assert purse.credit > 0
    assert fingerprint.__wrapped__(definition) == before


ODD = """
import logging, threading, sys
from dataclasses import dataclass
from hitherto import Aggregate, Event

class Lazy:
    @property
    def __class__(self):
        raise RuntimeError("not ready")

    def __repr__(self):
        raise RuntimeError("not ready")

@dataclass
class Tree:
    parent: object = None
    weight: int = 1

ROOT = Tree()
ROOT.parent = ROOT
RING = []
RING.append(RING)
LOCK, LOG, LAZY, NEW = threading.Lock(), logging.getLogger("odd"), Lazy(), object()
LENGTH, CASE = len, str.upper
Lazy.__module__ = "elsewhere"

class Grew(Event):
    by: int

class Odd(Aggregate[Grew]):
    tree: Tree = ROOT

    def apply(self, event: Grew) -> None:
        print(ROOT, RING, LOCK, LOG, LAZY, NEW, sys.path, LENGTH, CASE, self.again)

    def again(self) -> None:
        self.again()
"""


def test_odd_things_do_no_harm() -> None:
    """Things that hold themselves, that are of one process alone, or that cannot be looked at."""
    assert changed(ODD, "odd", "even") == set()
    assert changed(ODD, "weight: int = 1", "weight: int = 2") == {"Odd"}
    assert changed(ODD, "len, str.upper", "abs, str.upper") == {"Odd"}
    assert changed(ODD, "str.upper", "str.lower") == {"Odd"}


PACKAGES = {
    "ours/__init__.py": "",
    "ours/rates.py": "RATE = 101\ndef rated(number):\n    return number * 102\n",
    "ours/base.py": "class Rated:\n    def of(self, number):\n        return number * 103\n",
    "ours/money.py": "from ours.base import Rated\nclass Money(Rated):\n    pass\n",
    "units.py": """
import msgspec

class Metre(msgspec.Struct, frozen=True):
    length: int

    def long(self):
        return self.length * 110
""",
    "facts.py": """
from hitherto import Event
from units import Metre

class Grew(Event):
    by: int
    metres: tuple[Metre, ...]

    def more(self):
        return self.by * 104
""",
    "theirs.py": """
RATE, LIMIT = 105, 106

def rated(number):
    return number * 107

def plain(function):
    return lambda number: function(number)

def wrapped(function):
    call = lambda number, calls=[function]: calls[0](number)
    call.__wrapped__ = function
    return call
""",
    "ours/model.py": """
import ours.rates, theirs
from facts import Grew
from hitherto import Aggregate
from ours.money import Money
from theirs import LIMIT, rated

@theirs.plain
def one(number):
    return number + 108

@theirs.wrapped
def two(number):
    return number + 109

class Grown(Aggregate[Grew]):
    size: int = 0

    def apply(self, event):
        self.size += rated(ours.rates.RATE) + ours.rates.rated(event.more()) + theirs.RATE
        self.size += Money().of(LIMIT) + one(2) + two(2)
""",
}


def test_functions_of_its_own_packages_count_and_constants_of_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of another package does not: `snapshot_version` is for that."""
    (tmp_path / "ours").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def with_another(number: str) -> str:
        for path, source in PACKAGES.items():
            (tmp_path / path).write_text(source.replace(number, "999"), encoding="utf-8")
        importlib.invalidate_caches()
        told = fingerprint(importlib.import_module("ours.model").Grown.definition)
        for module in ("ours", "ours.rates", "ours.base", "ours.money", "ours.model"):
            del sys.modules[module]
        del sys.modules["facts"], sys.modules["theirs"], sys.modules["units"]
        return told

    before = with_another("none")
    numbers = [str(number) for number in range(101, 111)]
    assert [each for each in numbers if with_another(each) == before] == ["107"]
