"""Aggregates that the command line names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hitherto import Aggregate, ConfigurationError, Decider
from hitherto.cli.loading import load_all, load_one
from hitherto.examples.traffic_fines import Fine

SHOP = """
from typing import Generic, TypeVar
from hitherto import Aggregate, Decider, Event
from hitherto.examples.traffic_fines import Fine as Imported

T = TypeVar("T")

class Placed(Event):
    pass

class Base(Aggregate[T], Generic[T]):
    pass

class Order(Base[Placed]):
    class Line(Aggregate[Placed], type="Line"):
        pass

class Counting(Decider[int, Placed, int]):
    initial = 0
    def decide(self, state, command):
        return [Placed()]
    def evolve(self, state, event):
        return state + 1

counting = Counting()
number = 7
again = Order
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with some modules; what they leave in the interpreter is undone."""
    modules, path = set(sys.modules), list(sys.path)
    (tmp_path / "shop_1").mkdir()
    (tmp_path / "shop_1" / "orders.py").write_text(SHOP)
    (tmp_path / "broken_1.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "failing_1.py").write_text("raise RuntimeError('first\\nsecond')\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def names(*given: str) -> list[str]:
    """The stored names of what was found."""
    return [getattr(kind, "definition").aggregate_type for kind in load_all(given)]  # noqa: B009


def test_a_class_can_be_named() -> None:
    """Also one that another module has made."""
    assert load_one("hitherto.examples.traffic_fines:Fine") is Fine
    assert load_one("shop_1.orders:Imported") is Fine
    order = load_one("shop_1.orders:Order")
    assert isinstance(order, type)
    assert issubclass(order, Aggregate)


def test_a_class_within_a_class_can_be_named() -> None:
    """With dots, as Python does."""
    assert names("shop_1.orders:Order.Line") == ["Line"]


def test_a_decider_can_be_named() -> None:
    """The instance, for that is what decides."""
    assert isinstance(load_one("shop_1.orders:counting"), Decider)
    with pytest.raises(ConfigurationError, match="nor an instance of a Decider"):
        load_one("shop_1.orders:Counting")


def test_a_module_alone_stands_for_all_that_it_has() -> None:
    """Each once, under however many names, those that it imports too; no generic base."""
    assert names("shop_1.orders") == ["Fine", "Order", "Counting"]
    assert names("shop_1.orders:Order", "shop_1.orders") == ["Order", "Fine", "Counting"]
    assert names() == []


def test_the_current_folder_comes_first(folder: Path) -> None:
    """And it is not put there again and again."""
    load_one("shop_1.orders:Order")
    load_one("shop_1.orders:Order")
    assert sys.path[0] == str(folder)
    assert sys.path.count(str(folder)) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "the module '' cannot be imported"),
        (":Order", "':Order' names no aggregate: give MODULE:NAME"),
        ("shop_1.orders:", "'shop_1.orders:' names no aggregate: give MODULE:NAME"),
        ("shop_2:Order", "'shop_2:Order': the module 'shop_2' cannot be imported"),
        ("shop_1/orders.py", "give MODULE:NAME, such as shop.orders:Order"),
        (".orders:Order", "'.orders:Order': the module '.orders' cannot be imported"),
        ("sqlite:///shop.db", "give MODULE:NAME"),
        ("broken_1:X", "No module named 'nothing_of_this_name'"),
        ("failing_1:X", "RuntimeError: first"),
        ("shop_1.orders:Orders", "no 'Orders'; it has Imported, Order, again, counting"),
        ("json:Order", "the module 'json' has no 'Order'; it has no aggregate at all"),
        ("shop_1.orders:Base", "'shop_1.orders:Base' is neither an aggregate class"),
        ("shop_1.orders:Placed", "'shop_1.orders:Placed' is neither an aggregate class"),
        ("shop_1.orders:number", "'shop_1.orders:number' is neither an aggregate class"),
        ("json", "the module 'json' has no aggregate class"),
    ],
)
def test_what_names_none_is_refused(name: str, told: str) -> None:
    """With the word, what is wrong with it, and what to write."""
    with pytest.raises(ConfigurationError) as caught:
        load_all([name])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "name", ["postgresql://u:secret@host/db", "shop@secret:Order", "u@secret:"]
)
def test_what_looks_like_a_url_is_refused_and_not_shown(name: str) -> None:
    """It is an easy slip, and may hold a password."""
    with pytest.raises(ConfigurationError, match="looks like a URL") as refused:
        load_all([name])
    assert "secret" not in str(refused.value)


def test_what_a_module_prints_is_no_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program whose output is JSON is not to be spoiled by it."""
    (folder / "chatty_1.py").write_text(SHOP + "print('hello')\n")
    load_one("chatty_1:Order")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_module_that_ends_the_program_is_told(folder: Path) -> None:
    """Else nothing was checked, and all would seem well."""
    (folder / "ending_1.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ConfigurationError, match="SystemExit"):
        load_one("ending_1:Order")
