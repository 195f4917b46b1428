"""`hitherto archive` and `hitherto restore`: what they print, and their exit status."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hitherto import connect
from hitherto.cli.app import run

MODULE = """
from hitherto import Aggregate, Event, Repository, connect


class OrderPlaced(Event):
    pass


class OrderDelivered(Event):
    pass


class Order(Aggregate[OrderPlaced | OrderDelivered]):
    delivered: bool = False

    def apply(self, event: OrderPlaced | OrderDelivered) -> None:
        self.delivered = isinstance(event, OrderDelivered)

    def is_closed(self) -> bool:
        return self.delivered


def is_delivered(order: Order) -> bool:
    return order.delivered


async def fill(url: str) -> None:
    async with connect(url) as store:
        orders = Repository(store, Order)
        for number in range(1, 4):
            order = Order(f"order-{number}")
            order.record(OrderPlaced())
            if number < 3:
                order.record(OrderDelivered())
            await orders.save(order)
"""
URL = "sqlite:///orders.db"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> str:
    name = f"orders_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", URL)
    asyncio.run(__import__(name).fill(URL))
    return name


def archived() -> dict[str, int]:
    async def look() -> dict[str, int]:
        async with connect(URL) as store:
            ids = [f"order-{number}" for number in range(1, 4)]
            return dict(await store.backend.archive.archived(ids))

    return asyncio.run(look())


@pytest.mark.parametrize("function", ["is_delivered", "Order.is_closed"])
def test_closed_orders_are_archived_and_restored(
    module: str, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a function or a method; a dry run tells before, and the second run finds them there."""
    words = ["archive", f"{module}:Order", "--closed", f"{module}:{function}"]
    assert run([*words, "--dry-run"]) == 0
    assert "To be archived: 2\n  events: 2" in capsys.readouterr().out
    assert archived() == {}
    assert run(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Aggregates: 3",
        "Of one event, which stays: 1",
        "In the archive before: 0",
        "With a recent event: 0",
        "Not closed: 0",
        "Archived: 2",
        "  events: 2",
    ]
    assert archived() == {"order-1": 1, "order-2": 1}
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["already"], told["closed"], told["dry_run"]) == (2, 0, False)
    assert run(["restore", "order-2", "order-3"]) == 0
    assert capsys.readouterr().out == "order-2: 1 events\n"
    assert archived() == {"order-1": 1}
    assert run(["restore", "order-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"events": {"order-1": 1}}
    assert run(["restore", "order-1"]) == 1
    assert "None of them" in capsys.readouterr().out


def test_an_age_or_ids_choose_too(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In days, and one by one."""
    assert run(["archive", f"{module}:Order", "--older-than", "1"]) == 0
    assert "With a recent event: 2" in capsys.readouterr().out
    assert run(["archive", f"{module}:Order", "--id", "order-1"]) == 0
    assert archived() == {"order-1": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["archive", "{}:Order"], "give a function, an age, or ids"),
        (["archive", "{}:Order", "--closed", "{}:nothing"], "has no 'nothing'; it has"),
        (["archive", "{}:Order", "--closed", "{}:__name__"], "is no function"),
        (["archive", "{}:Order", "--closed", "{}:fill"], "give a function that is not async"),
        (["archive", "{}:Order", "--older-than", "nan"], "--older-than nan: give a number of days"),
        (["archive", "{}:Order", "--older-than", "-1"], "--older-than -1: give a number of days"),
        (["archive", "{}:Order", "--id", "order-9"], "order-9"),
        (["restore"], "no aggregate is named"),
    ],
)
def test_bad_input_is_told_with_the_remedy(
    module: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is moved."""
    assert run([each.format(module) for each in words]) == 1
    assert told in capsys.readouterr().err
    assert archived() == {}


def test_one_is_closed_for_good_with_yes_alone(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The account names who has done it, and why."""
    words = ["tombstone", f"{module}:Order", "order-1", "--reason", "sold twice"]
    assert run(words) == 1
    assert "order-1 would be closed for good: give --yes" in capsys.readouterr().err
    assert run([*words, "--by", "ada", "--yes"]) == 0
    assert capsys.readouterr().out == "order-1 stays at version 2 for good.\n"
    assert run([*words, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"aggregate_id": "order-1", "version": 2}

    async def look() -> list[tuple[str, str]]:
        async with connect(URL) as store:
            found = await store.backend.archive.tombstones(["order-1", "order-2"])
        return [(each.closed_by, each.reason) for each in found]

    assert asyncio.run(look()) == [("ada", "sold twice")]


@pytest.mark.parametrize(
    ("id", "reason", "message"),
    [("nobody", "it", "no Order with id 'nobody'"), ("order-1", " ", "reason=' ': say it")],
)
def test_what_cannot_be_closed_is_told(
    module: str, id: str, reason: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An aggregate that is not there, or no reason."""
    assert run(["tombstone", f"{module}:Order", id, "--reason", reason, "--yes"]) == 1
    assert message in capsys.readouterr().err
