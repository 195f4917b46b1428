"""Pages that tell a story: the code on them is a module, and there is a store of its making."""

import asyncio
import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import apsw
import pytest
from tests.acceptance.callers import connected
from tests.acceptance.docs_blocks import blocks_of, name_of
from tests.acceptance.docs_shell import Reader, check_same, exchanges
from tests.acceptance.docs_unrun import CONSOLE

from hitherto import ProjectionWorker, Repository, Store, connect
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines

Meanwhile: TypeAlias = Mapping[int, Callable[[], object]]
"""What happens before a console block of the page, by its number from 0."""


class Listener(Reader):
    """A reader who runs `hitherto` in this process, which is fast."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        super().__init__(folder)
        self.url = url
        self.varying: list[tuple[re.Pattern[str], str]] = []  # besides what does on every page
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("TTY_COMPATIBLE", "0")
        monkeypatch.setenv("COLUMNS", self.environment["COLUMNS"])
        monkeypatch.setenv("DATABASE_URL", url)
        self.environment["DATABASE_URL"] = url
        self._status = 0

    def write(self, name: str, code: str) -> Any:
        """A module, imported anew."""
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        for each in (name, name.partition(".")[0]):
            self._patch.setitem(sys.modules, each, ModuleType(each))  # to be forgotten afterwards
            del sys.modules[each]
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # may be of one second
        try:
            return importlib.import_module(name)
        finally:
            sys.dont_write_bytecode = before

    def tell(self, page: Path, meanwhile: Meanwhile) -> None:
        """Run its commands, and what happens between them; each has to print what is shown."""
        unrun = CONSOLE.get(name_of(page), {})
        console = [each for each in blocks_of(page) if each.language == "console"]
        for number, block in enumerate(console):
            meanwhile.get(number, lambda: None)()
            for command, expected in exchanges(block):
                if not any(map(command.startswith, unrun)):
                    check_same(block, command, expected, self.run(command), self.varying)

    def run(self, command: str) -> str:
        """What it prints, errors too."""
        if command == "echo $?":
            return f"{self._status}\n"
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._patch.setenv(name, value)
        if command.startswith("psql "):
            command = command.replace("psql", f"psql -X '{self.url}'", 1)
        if command.startswith("sqlite3 "):
            _, file, statements = shlex.split(command)
            with contextlib.closing(apsw.Connection(file)) as connection:
                connection.execute(statements)
            return ""
        if not command.startswith("hitherto ") or re.search(r" [|&]", command):
            return super().run(command)
        command, _, file = command.partition(" > ")
        if command.endswith("--capture run"):
            command += " --until-caught-up"  # in place of Ctrl-C
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            self._status = run(shlex.split(command)[1:])
        if not file:
            return printed.getvalue()
        (self.folder / file).write_text(printed.getvalue())
        return ""

    def fill(self, work: Callable[[Store], Awaitable[object]], **options: Any) -> None:
        """Do some work with the store."""

        async def filled() -> None:
            async with connect(self.url, **options) as store:
                await work(store)

        asyncio.run(filled())


def code_of(page: Path, *, but: str = "") -> str:
    """The Python of a page as one module, without the line that runs it."""
    blocks = [each.code for each in blocks_of(page) if each.language == "python"]
    return "\n".join(blocks if not but else [each for each in blocks if but not in each]).replace(
        "\nasyncio.run(main())\n", "\n"
    )


def an_order_with_a_note(reader: Listener, page: Path) -> Meanwhile:
    """What was noted there must not be stored."""
    shop = reader.write("shop", code_of(page))

    async def fill(store: Store) -> None:
        order = shop.Order("order-17")
        order.record(shop.OrderPlaced(item="lamp", note="pays by 4111 1111 1111 1111"))
        await Repository(store, shop.Order).save(order)

    reader.fill(fill)
    return {}


def orders_of_years(reader: Listener, page: Path) -> Meanwhile:
    """Most were delivered; some were placed, and no more."""
    shop = reader.write("shop", code_of(page))

    async def fill(store: Store) -> None:
        orders = []
        for number in range(1, 1201):
            order = shop.Order(f"order-{number}")
            order.record(shop.OrderPlaced(item="tea"))
            if number <= 1150:
                order.record(shop.OrderPaid(amount=7))
            if number <= 1100:
                order.record(shop.OrderDelivered())
            orders.append(order)
        await Repository(store, shop.Order).save_all(*orders)

    reader.fill(fill)
    return {}


def a_person(reader: Listener, page: Path) -> Meanwhile:
    """The page's own program stores her."""
    shop = reader.write("shop", code_of(page))
    asyncio.run(shop.main())
    return {}


def orders_of_two_schemas(reader: Listener, page: Path) -> Meanwhile:
    """All stored by the first code, but for one that somebody has put in by hand."""
    placed = code_of(page, but="asyncio")
    order = """

from hitherto import Aggregate


class OrderShipped(Event):
    parcel: str


class Order(Aggregate[OrderPlaced | OrderShipped]):
    def apply(self, event: OrderPlaced | OrderShipped) -> None:
        pass
"""
    upcaster = """

@OrderPlaced.upcast(1)
def _(payload):
    payload["buyer"] = payload.pop("customer")
    return payload
"""
    renamed = placed.replace("customer:", "buyer:")
    raised = renamed.replace("OrderPlaced(Event)", "OrderPlaced(Event, schema=2)")
    shop = reader.write("shop", placed + order)

    async def fill(store: Store) -> None:
        orders = []
        for number in range(1200):
            order = shop.Order(f"o-{number}")
            note = None if number % 3 else "by noon"
            order.record(shop.OrderPlaced(customer="Ada", amount=Decimal("19.90"), note=note))
            orders.append(order)
            if number % 2:
                order = shop.Order(f"s-{number}")
                order.record(shop.OrderShipped(parcel="p"))
                orders.append(order)
        await Repository(store, shop.Order).save_all(*orders)
        order = shop.Order("o-x")
        order.record(shop.OrderPlaced(customer="Ada", amount=Decimal("19.90")))
        await Repository(store, shop.Order).save(order)

    reader.fill(fill)
    _by_hand(
        reader,
        "UPDATE event_store SET event_data = "
        """'{"customer":"Ada","amount":19.9,"coupon":"x"}' WHERE aggregate_id = 'o-x'""",
    )
    return {
        1: lambda: reader.write("shop", renamed + order),
        2: lambda: reader.write("shop", raised + order + upcaster),
    }


def users_in_a_table(reader: Listener, page: Path) -> Meanwhile:
    """Old programs write it, and new code goes on."""
    users = reader.write("users", code_of(page))

    def written(*statements: str) -> Callable[[], None]:
        async def write() -> None:
            async with connected(reader.url) as connection:
                for statement in statements:
                    await connection.execute(statement)

        return lambda: asyncio.run(write())

    async def rename(store: Store) -> None:
        await Repository(store, users.User).update("user-124", lambda user: user.rename("Jane"))

    def change_both_sides() -> None:
        written("UPDATE users SET name = 'John' WHERE id = 123", "DELETE FROM users WHERE id = 9")()
        reader.fill(rename)

    (table,) = (each.code for each in blocks_of(page) if each.language == "sql")
    written(
        table,
        "INSERT INTO users (email, name) SELECT format('user%s@example.com', n),"
        " format('User %s', n) FROM generate_series(1, 1000) AS n",
        "UPDATE users SET email = 'unknown', active = false WHERE id = 471",
    )()
    return {
        2: written("UPDATE users SET email = 'kim@example.com' WHERE id = 471"),
        3: change_both_sides,
        6: written(
            "ALTER TABLE users DISABLE TRIGGER USER",
            "UPDATE users SET name = 'Mallory' WHERE id = 42",
            "ALTER TABLE users ENABLE TRIGGER USER",
        ),
    }


def accounts_that_are_viewed(reader: Listener, page: Path) -> Meanwhile:
    """Few, so the page's numbers are larger; later one withdraws, which the view refuses."""
    code = code_of(page).split("\nview = ")[0]
    checked = code.replace("balance INTEGER)", "balance INTEGER CHECK (balance >= 0))")
    assert checked != code
    views = reader.write("shop.views", checked)
    account = views.Account("account-7")
    reader.varying.append((re.compile(r"\d[\d,]*( (s|h) ago)?|<seconds>"), "<number>"))

    async def work(store: Store, *events: Any) -> None:
        for event in events:
            account.record(event)
        await Repository(store, views.Account).save(account)
        await ProjectionWorker(store, views.Balances()).catch_up()

    deposited, withdrawn = views.Deposited(amount=5), views.Withdrawn(amount=9)
    reader.fill(lambda store: work(store, deposited))
    return {4: lambda: reader.fill(lambda store: work(store, withdrawn, deposited))}


def fines_in_chains(reader: Listener, page: Path) -> Meanwhile:
    """Two thousand, of which somebody changes one, and takes the end off another."""

    async def fill(store: Store) -> None:
        await import_fines(Repository(store, Fine), sample_lines())

    reader.fill(fill, hash_chain=True)
    whole = (reader.folder / "fines.db").read_bytes()
    return {
        2: lambda: (reader.folder / "fines.db").write_bytes(whole),
        5: lambda: _by_hand(
            reader,
            "DELETE FROM event_store WHERE global_position = 8033;"
            " DELETE FROM event_hashes WHERE global_position = 8033",
        ),
    }


def _by_hand(reader: Listener, change: str) -> None:
    """Change a table behind the store's back, and leave no trace in its triggers."""
    connection = apsw.Connection(reader.url.removeprefix("sqlite:///"))
    triggers = list(
        connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    )
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(change)
    for _, statement in triggers:
        connection.execute(statement)
    connection.close()
