"""Projections that the command line names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hitherto import ConfigurationError
from hitherto.cli.loading import load_projection, load_projections

SHOP = """
from hitherto import *

class Placed(Event):
    pass

class Order(Aggregate[Placed]):
    pass

class Orders(Projection, name="orders", version=3):
    @on
    def placed(self, event: Placed, context: Context):
        pass

class Again(Projection, name="orders"):
    pass

class Mailed(Projection):
    def __init__(self, server):
        self.server = server

class Broken(Projection):
    def __init__(self):
        raise RuntimeError("no settings")

class Followed(Event):
    pass

class Reminder(Process[Followed]):
    @on
    def placed(self, event: Placed, recorded: RecordedEvent):
        pass

    def apply(self, event):
        pass

store = connect("memory:")
reminders = Reactions(store, Reminder, CommandBus(store))

def told(event: Placed, context: Context) -> None:
    pass

mailed = Mailed("mail.example")
telling = projection("telling", told)
number = 7
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder has a module; what that leaves in the interpreter is undone."""
    modules, path = set(sys.modules), list(sys.path)
    (tmp_path / "shop_3.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def test_a_class_that_needs_no_arguments_can_be_named() -> None:
    """An instance is made of it."""
    found = load_projection("shop_3:Orders")
    assert (found.name, found.version) == ("orders", 3)


def test_an_instance_can_be_named() -> None:
    """It is used as it is, with what it was given."""
    found = load_projection("shop_3:mailed")
    assert found is sys.modules["shop_3"].mailed
    assert load_projection("shop_3:telling").name == "telling"


def test_several_are_given_in_order() -> None:
    """Each by its own name."""
    found = load_projections(["shop_3:telling", "shop_3:Orders", "shop_3:mailed"])
    assert [each.name for each in found] == ["telling", "orders", "Mailed"]


def test_two_of_one_name_are_refused() -> None:
    """They would take the view from each other."""
    with pytest.raises(ConfigurationError, match="'shop_3:Again' is stored as 'orders', as anoth"):
        load_projections(["shop_3:Orders", "shop_3:Again"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "'' names no projection: give MODULE:NAME, such as shop.views:Balances"),
        ("shop_3", "'shop_3' names no projection: give MODULE:NAME"),
        ("shop_4:Orders", "'shop_4:Orders': the module 'shop_4' cannot be imported"),
        (
            "shop_3:Order_",
            "has no 'Order_'; it has Again, Broken, Mailed, Orders, mailed, telling",
        ),
        ("json:Orders", "the module 'json' has no 'Orders'; it has no projection at all"),
        ("shop_3:Order", "'shop_3:Order' is neither a projection's class of your own nor an"),
        ("shop_3:Documents", "is neither a projection's class of your own"),
        ("shop_3:number", "is neither a projection's class of your own"),
        ("shop_3:Reminder", "'shop_3:Reminder' is a process, which needs the bus"),
        ("shop_3:reminders", "ProjectionWorker(store, Reactions(store, …, bus)).run()"),
        ("shop_3:Mailed", "'shop_3:Mailed' cannot be made without arguments: TypeError: "),
        ("shop_3:Mailed", "make an instance in the module, and name that"),
        ("shop_3:Broken", "RuntimeError: no settings"),
        ("sqlite:///shop.db", "what looks like a URL names no projection"),
    ],
)
def test_what_names_none_is_refused(name: str, told: str) -> None:
    """With the word, what is wrong with it, and what to write."""
    with pytest.raises(ConfigurationError) as caught:
        load_projection(name)
    assert told in str(caught.value)


def test_what_looks_like_a_url_is_not_shown() -> None:
    """It may hold a password."""
    with pytest.raises(ConfigurationError, match="looks like a URL") as refused:
        load_projection("postgresql://u:secret@host/db")
    assert "secret" not in str(refused.value)
