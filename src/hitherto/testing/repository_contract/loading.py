"""Loading: as it is, as it was, many at once; and what cannot be loaded."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from hitherto.application.store import Store
from hitherto.errors import (
    AggregateIDMismatch,
    AggregateNotFound,
    EventSerializationFailed,
    InvalidInput,
)
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import RepositoryTests
from hitherto.testing.repository_contract.domain import (
    Account,
    Collector,
    Deposited,
    Entry,
    Everything,
    Mood,
    NewerPerson,
    Opened,
    Person,
    RenamedTwice,
    Withdrawn,
)
from hitherto.testing.store_contract.making import append_to, new_event

EVERYTHING = Everything(
    text='it\'s "Ünï" 😀 \\u0000 \n',
    whole=2**63 - 1,
    fraction=0.1 + 0.2,
    exact=Decimal("12345678901234567890.1230"),
    flag=True,
    blob=b"\x00\xff",
    key=UUID(int=7),
    moment=datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
    day=date(1, 1, 1),
    mood=Mood.BAD,
    maybe=None,
    several=(1, -2, 3),
    unique=frozenset({"a", "b"}),
    named={"one": 1, "": 0},
    entry=Entry(Decimal("-0.01"), "x"),
    anything={"list": [1, 2.5, None, "x"]},
)


class LoadContract(RepositoryTests):
    """`load`, `load_many`, `exists` and `history`."""

    async def test_every_kind_of_field_comes_back(self, store: Store) -> None:
        """Equal to what it was, and of the same type."""
        collectors = self.make_repository(store, Collector)
        collector = Collector("c-1")
        collector.record(EVERYTHING)
        await collectors.save(collector)
        (recorded,) = await collectors.history("c-1")
        assert recorded.event == EVERYTHING
        for name in EVERYTHING.__struct_fields__:
            before, after = getattr(EVERYTHING, name), getattr(recorded.event, name)
            assert type(after) is type(before), name
        assert str(recorded.event.exact) == "12345678901234567890.1230"

    @pytest.mark.parametrize(("month", "day", "fold"), [(10, 25, 0), (10, 25, 1), (3, 29, 0)])
    async def test_an_hour_that_a_clock_repeats_or_skips_comes_back(
        self, store: Store, month: int, day: int, fold: int
    ) -> None:
        """The moment does, in an event and in a snapshot; Python calls it unequal to any other."""
        collectors = self.make_repository(store, Collector, snapshot_every=1)
        collector = Collector("c-1")
        berlin = ZoneInfo("Europe/Berlin")
        moment = datetime(2026, month, day, 2, 30, tzinfo=berlin, fold=fold)
        collector.record(msgspec.structs.replace(EVERYTHING, moment=moment))
        await collectors.save(collector)
        assert await store.backend.read_snapshot("c-1") is not None
        loaded = await collectors.load("c-1")
        assert loaded.moments == (moment.astimezone(UTC),)

    async def test_a_mapping_other_than_a_dict_is_refused(self, store: Store) -> None:
        """Rather than that it came back as one."""
        collectors = self.make_repository(store, Collector)
        collector = Collector("c-1")
        named = MappingProxyType({"a": 1})
        collector.record(msgspec.structs.replace(EVERYTHING, named=named))
        with pytest.raises(EventSerializationFailed, match="mappingproxy"):
            await collectors.save(collector)

    async def test_each_version_can_be_loaded(self, store: Store) -> None:
        """The aggregate is as it was then."""
        accounts = self.make_repository(store, Account, snapshot_every=None)
        account = Account.open("a-1")
        for n in range(1, 6):
            account.deposit(n)
        await accounts.save(account)
        for version in range(1, 7):
            then = await accounts.load("a-1", version)
            assert then.version == version
            assert then.balance == sum(range(version))
            assert len(then.entries) == version - 1

    async def test_a_version_that_is_not_there_is_not_found(self, store: Store) -> None:
        """The error names the id and the version."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        for version in (2, 2**31 - 1):
            with pytest.raises(AggregateNotFound, match=f"'a-1' at version {version}") as caught:
                await accounts.load("a-1", version)
            assert caught.value.aggregate_id == "a-1"

    @pytest.mark.parametrize(
        "version",
        [0, -1, 2**31, 2**70],
    )
    async def test_an_impossible_version_is_refused(
        self, store: Store, probe: Probe, version: int
    ) -> None:
        """Before the store is asked."""
        accounts = self.make_repository(store, Account)
        with pytest.raises(InvalidInput, match="version"):
            await accounts.load("a-1", version)
        assert probe.calls == []

    async def test_an_unknown_id_is_not_found(self, store: Store) -> None:
        """By load and by history, and by update before its command runs."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        with pytest.raises(AggregateNotFound, match="no Account with id 'a-2'"):
            await accounts.load("a-2")
        with pytest.raises(AggregateNotFound):
            await accounts.history("a-2")
        with pytest.raises(AggregateNotFound):
            await accounts.update("a-2", lambda _: pytest.fail("the command ran"))

    async def test_another_type_under_the_id_is_a_mismatch(self, store: Store) -> None:
        """By load, load_many and history."""
        accounts = self.make_repository(store, Account)
        people = self.make_repository(store, Person)
        await accounts.save(Account.open("a-1"))
        with pytest.raises(AggregateIDMismatch, match="'a-1' is a Account, not a Person"):
            await people.load("a-1")
        with pytest.raises(AggregateIDMismatch):
            await people.load_many(["a-1"])
        with pytest.raises(AggregateIDMismatch):
            await people.history("a-1")

    async def test_existence_is_of_one_type(self, store: Store) -> None:
        """Another type's aggregate under the id is not one of this type."""
        accounts = self.make_repository(store, Account)
        people = self.make_repository(store, Person)
        await accounts.save(Account.open("a-1"))
        assert await accounts.exists("a-1") is True
        assert await accounts.exists("a-2") is False
        assert await people.exists("a-1") is False

    async def test_many_are_loaded_in_one_round_trip(self, store: Store, probe: Probe) -> None:
        """By id, in the order asked for; unknown ones are left out, repeated ones come once."""
        accounts = self.make_repository(store, Account)
        for n in range(1, 6):
            account = Account.open(f"a-{n}")
            account.deposit(n)
            await accounts.save(account)
        probe.reset()
        loaded = await accounts.load_many(f"a-{n}" for n in (4, 2, 9, 5, 2))
        assert probe.calls == ["load_many"]
        assert [(each, int(account.balance)) for each, account in loaded.items()] == [
            ("a-4", 4),
            ("a-2", 2),
            ("a-5", 5),
        ]
        assert all(account.version == 2 for account in loaded.values())

    async def test_nothing_is_loaded_for_no_ids(self, store: Store, probe: Probe) -> None:
        """The store is not asked."""
        assert await self.make_repository(store, Account).load_many([]) == {}
        assert probe.calls == []

    async def test_loading_one_takes_one_round_trip(self, store: Store, probe: Probe) -> None:
        """Also where it is at an older version."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        probe.reset()
        await accounts.load("a-1")
        await accounts.load("a-1", 1)
        assert probe.calls == ["load", "load"]

    async def test_history_tells_everything(self, store: Store) -> None:
        """Oldest first, each event with its place and its names."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        account.deposit(5, "note")
        account.withdraw(2)
        await accounts.save(account)
        history = await accounts.history("a-1")
        assert [recorded.event for recorded in history] == [
            Opened(owner="Ada"),
            Deposited(amount=Decimal(5), note="note"),
            Withdrawn(amount=Decimal(2)),
        ]
        assert [recorded.event_type for recorded in history] == [
            "Opened",
            "money-deposited",
            "Withdrawn",
        ]
        assert [recorded.schema_version for recorded in history] == [1, 1, 2]
        assert [recorded.version for recorded in history] == [1, 2, 3]
        assert {(each.aggregate_id, each.aggregate_type) for each in history} == {
            ("a-1", "Account")
        }
        assert len({recorded.event_id for recorded in history}) == 3


class StoredEventContract(RepositoryTests):
    """What this code does with events that other code stored."""

    async def test_an_unknown_type_is_an_error(self, store: Store) -> None:
        """Never skipped: the error names type, id and version."""
        newer = self.make_repository(store, NewerPerson)
        person = NewerPerson("p-1")
        person.record(RenamedTwice(name="Eve"))
        await newer.save(person)
        people = self.make_repository(store, Person)
        message = r"'RenamedTwice'.*'p-1' at version 1.*Person"
        with pytest.raises(EventSerializationFailed, match=message):
            await people.load("p-1")
        with pytest.raises(EventSerializationFailed, match=message):
            await people.load_many(["p-1"])
        with pytest.raises(EventSerializationFailed, match=message):
            await people.history("p-1")
        assert await people.exists("p-1")

    async def test_an_older_schema_is_read_by_the_same_class(self, store: Store) -> None:
        """A field that was added has a default, and one that was dropped is passed over."""
        old = new_event('{"amount": "3", "was": "here"}', type="Withdrawn", schema=1)
        await store.backend.append([append_to("a-1", [old], type="Account")])
        (recorded,) = await self.make_repository(store, Account).history("a-1")
        assert recorded.event == Withdrawn(amount=Decimal(3))
        assert recorded.schema_version == 1

    async def test_a_newer_schema_is_an_error(self, store: Store) -> None:
        """This code cannot know what it means."""
        newer = new_event('{"amount": "3"}', type="Withdrawn", schema=3)
        await store.backend.append([append_to("a-1", [newer], type="Account")])
        accounts = self.make_repository(store, Account)
        with pytest.raises(EventSerializationFailed, match=r"schema 3.*'a-1' at version 1.*newer"):
            await accounts.load("a-1")

    @pytest.mark.parametrize("data", ['{"amount": "x"}', '{"amount": null}', "{}", "[]", '"a"'])
    async def test_data_that_do_not_fit_are_an_error(self, store: Store, data: str) -> None:
        """It names type, id and version."""
        stored = new_event(data, type="Withdrawn")
        await store.backend.append([append_to("a-1", [stored], type="Account")])
        accounts = self.make_repository(store, Account)
        with pytest.raises(EventSerializationFailed, match=r"'Withdrawn'.*'a-1' at version 1"):
            await accounts.load("a-1")

    async def test_the_store_reads_what_its_repositories_know(self, store: Store) -> None:
        """Of one aggregate in any direction, and of the whole log in order."""
        accounts = self.make_repository(store, Account)
        people = self.make_repository(store, Person)
        account, person = Account.open("a-1"), Person("p-1")
        account.deposit(1)
        person.register("Bob")
        await accounts.save(account)
        await people.save(person)
        backward = await store.read("a-1", from_version=2, to_version=9, limit=5, backward=True)
        assert backward == [(await accounts.history("a-1"))[1]]
        log = [recorded async for recorded in store.read_all()]
        assert log == await accounts.history("a-1") + await people.history("p-1")
        after = [recorded async for recorded in store.read_all(after=log[0].position)]
        assert after == log[1:]
        typed = [recorded async for recorded in store.read_all(aggregate_types=["Person"])]
        assert typed == log[2:]
        named = [recorded async for recorded in store.read_all(event_types=["money-deposited"])]
        assert named == log[1:2]
        assert await store.watermark() == log[-1].position

    async def test_the_whole_log_is_read_page_by_page(self, store: Store, probe: Probe) -> None:
        """Each event once, however many there are."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        for n in range(1000):
            account.deposit(n)
        await accounts.save(account)
        probe.reset()
        versions = [recorded.version async for recorded in store.read_all()]
        assert versions == list(range(1, 1002))
        assert probe.calls == ["read_all", "read_all"]

    async def test_a_type_that_no_repository_knows_is_an_error(self, store: Store) -> None:
        """The error says what to do."""
        await store.backend.append([append_to("s-1", type="Stranger")])
        with pytest.raises(EventSerializationFailed, match=r"'Stranger'.*make one"):
            await store.read("s-1")
        with pytest.raises(EventSerializationFailed, match="'Happened' of 's-1' at version 1"):
            [recorded async for recorded in store.read_all()]

    async def test_health_can_be_asked_of_either(self, store: Store) -> None:
        """The repository passes on what the store says."""
        accounts = self.make_repository(store, Account)
        assert (await accounts.health_check()).status == (await store.health_check()).status
        assert (await accounts.health_check()).status != "unhealthy"
