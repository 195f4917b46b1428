"""Pages that tell a story: the code on them is a module, and there is a store of its making."""

import asyncio
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
from tests.acceptance.callers import connected
from tests.acceptance.docs_blocks import ROOT, blocks_of
from tests.acceptance.docs_listener import Listener, Meanwhile, code_of

from hitherto import Metadata, ProjectionWorker, Repository, Store
from hitherto.examples.traffic_fines import Fine, import_fines, model, sample_lines


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


def a_shop(reader: Listener) -> None:
    """Orders and users, of which one has the id 123, and a view that nobody works on."""
    users = reader.write(
        "shop.users",
        """
from hitherto import Aggregate, Context, Event, Projection, on

class UserCreated(Event):
    name: str

class User(Aggregate[UserCreated]):
    def apply(self, event: UserCreated) -> None:
        pass

class Balances(Projection):
    @on
    async def created(self, event: UserCreated, context: Context) -> None:
        pass
""",
    )
    code = code_of(ROOT / "docs/how-to/erase-a-payload.md")
    (reader.folder / "shop/orders.py").write_text(code)

    async def fill(store: Store) -> None:
        user = users.User("user-123")
        user.record(users.UserCreated(name="Ada"))
        await Repository(store, users.User).save(user)
        await ProjectionWorker(store, users.Balances()).catch_up()

    reader.fill(fill)


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


def two_versions(reader: Listener, page: Path) -> Meanwhile:
    """In the files payments above 100 have a cent more than on `main`; later they are counted."""
    code = Path(model.__file__).read_text()
    paid, field = "self.paid += amount\n", "    paid: Decimal = NOTHING\n"
    assert code.count(paid) == code.count(field) == 1
    fines = reader.folder / "fines.py"
    fines.write_text(code)
    reader.run(
        "git init -q -b main && git add fines.py"
        " && git -c user.name=Ada -c user.email=ada@example.com commit -qm first"
    )
    fines.write_text(
        code.replace(paid, "self.paid += amount + (_CENT if amount > 100 else NOTHING)\n")
    )
    counted = code.replace(field, f"{field}    payments: int = 0\n").replace(
        paid, f"{paid}                self.payments += 1\n"
    )
    reader.fill(lambda store: import_fines(Repository(store, Fine), sample_lines(), concurrency=1))
    return {1: lambda: fines.write_text(counted)}


def a_changed_file(reader: Listener) -> None:
    """An export of fines, in which somebody has changed a line."""
    reader.fill(lambda store: import_fines(Repository(store, Fine), sample_lines()[:1300]))
    file = reader.folder / "changed.jsonl"
    reader.run(f"hitherto export {reader.url} --to {file.name}")
    lines = file.read_text().splitlines(keepends=True)
    lines[4710] = lines[4710].replace('"2', '"1')
    file.write_text("".join(lines))


def a_parcel(reader: Listener) -> str:
    """An order that had a parcel packed; the id of the event that tells of that."""
    shop = reader.write(
        "shop",
        "from hitherto import Aggregate, Event\n"
        + "".join(f"class {name}(Event):\n    pass\n" for name in _PARCEL)
        + "".join(
            f"class {name}(Aggregate[{events}]):\n    def apply(self, event): pass\n"
            for name, events in (
                ("Order", "OrderPlaced | OrderPaid"),
                ("Shipping", "ShippingStarted"),
                ("Parcel", "ParcelPacked | ParcelSent"),
            )
        ),
    )
    asked = ""

    async def fill(store: Store) -> None:
        nonlocal asked
        made: dict[str, Any] = {}

        async def save(kind: Any, id: str, event: str, cause: str | None) -> str:
            aggregate = made.setdefault(id, kind(id))
            aggregate.record(getattr(shop, event)())
            told = Metadata(correlation_id="request-7", causation_id=cause)
            repository = Repository(store, kind)
            await repository.save(aggregate, metadata=told)
            return str((await repository.history(id))[-1].event_id)

        await save(shop.Order, "order-1", "OrderPlaced", None)
        paid = await save(shop.Order, "order-1", "OrderPaid", "pay-1")
        await save(shop.Shipping, "Shipping-order-1", "ShippingStarted", paid)
        asked = await save(shop.Parcel, "parcel-of-order-1", "ParcelPacked", paid)
        await save(shop.Parcel, "parcel-of-order-1", "ParcelSent", paid)

    reader.fill(fill)
    return asked


_PARCEL = ("OrderPlaced", "OrderPaid", "ShippingStarted", "ParcelPacked", "ParcelSent")
