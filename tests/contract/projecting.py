"""What projections do, whatever the store: a suite to subclass with a fixture named `store`."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar, NoReturn

import msgspec
import pytest

from hitherto import (
    Aggregate,
    Amounts,
    Batch,
    CheckpointInvalid,
    Context,
    Event,
    EventSerializationFailed,
    EventStoreUnavailable,
    HandlerFailed,
    InvalidInput,
    Key,
    Projection,
    ProjectionBehind,
    ProjectionSuperseded,
    ProjectionWorker,
    RecordedEvent,
    Repository,
    Store,
    Subscription,
    Totals,
    Undecoded,
    live,
    on,
    projection,
)
from hitherto.application import membership
from hitherto.testing.repository_contract.upcasting import HISTORY, Called, Member, Moved
from hitherto.testing.repository_contract.upcasting import stored as old_events


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: int


class Closed(Event):
    pass


AccountEvent = Opened | Deposited | Closed


class Account(Aggregate[AccountEvent]):
    balance: int = 0

    def apply(self, event: AccountEvent) -> None:
        if isinstance(event, Deposited):
            self.balance += event.amount


class Seen(Projection[Any], elsewhere=True):
    """Notes what it is given; fails where it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[str, int]] = []
        self.batches: list[int] = []
        self.poison: set[tuple[str, int]] = set()
        self.attempts: list[tuple[str, int]] = []
        self.keys: list[str] = []

    def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> Any:
        self.batches.append(len(events))
        return super().handle(events, batch)

    @on
    async def happened(self, event: Deposited | Closed, context: Context[Any]) -> None:
        place = (context.recorded.aggregate_id, context.recorded.version)
        self.attempts.append(place)
        if place in self.poison:
            raise RuntimeError("poison")
        self.given.append(place)
        self.keys.append(context.idempotency_key)


class Moves(Projection[Any], name="moves", elsewhere=True):
    """Notes what it is given where nothing of it fails."""

    def __init__(self) -> None:
        self.fails = False
        self.given: list[Event] = []

    def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> Any:
        if self.fails and any(isinstance(each.event, Called) for each in events):
            raise RuntimeError("no calls")
        return super().handle(events, batch)

    @on
    def moved(self, event: Moved | Called, _: Context[Any]) -> None:
        self.given.append(event)


class AccountDocument(msgspec.Struct, frozen=True):
    owner: str
    balance: int = 0


class Accounts(Totals[AccountDocument, AccountEvent], name="accounts"):
    def evolve(
        self, document: AccountDocument | None, recorded: RecordedEvent[AccountEvent]
    ) -> AccountDocument | None:
        match recorded.event:
            case Opened(owner=owner):
                return AccountDocument(owner=owner)
            case Deposited(amount=amount) if document is not None:
                return AccountDocument(owner=document.owner, balance=document.balance + amount)
            case Closed():
                return None
            case _:
                return document

    def amounts(self, document: AccountDocument) -> dict[Key, Amounts]:
        return {(document.owner,): {"accounts": 1, "balance": document.balance}}


async def deposit(store: Store, name: str, *amounts: int, owner: str = "ann") -> int:
    """An account with deposits; the position of the last."""
    accounts = Repository(store, Account)
    account = await accounts.load(name) if await accounts.exists(name) else Account(name)
    if not account.version:
        account.record(Opened(owner=owner))
    for amount in amounts:
        account.record(Deposited(amount=amount))
    position = await accounts.save(account)
    assert position is not None
    return position


@asynccontextmanager
async def running(*workers: ProjectionWorker[Any]) -> AsyncGenerator[list[asyncio.Task[None]]]:
    """Workers that run meanwhile."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until it holds; the condition may be async."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


class SubscriptionContract:
    """What a subscription gives."""

    async def test_it_gives_what_there_is_and_then_what_comes(self, store: Store) -> None:
        """Each event once and in order, from one call."""
        await deposit(store, "a", 1, 2)
        seen: list[tuple[str, int]] = []

        async def follow() -> None:
            async with store.subscribe() as events:
                async for recorded in events:
                    place = (recorded.aggregate_id, recorded.version)
                    seen.append(place)

        task = asyncio.create_task(follow())
        await until(lambda: len(seen) == 3)
        await deposit(store, "b", 3)
        await deposit(store, "a", 4)
        await until(lambda: len(seen) == 6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert seen == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("a", 4)]

    async def test_its_block_may_end_while_another_task_iterates(self, store: Store) -> None:
        """Whose iteration ends."""
        seen: list[int] = []

        async def follow(events: Subscription) -> None:
            async for recorded in events:
                seen.append(recorded.version)  # noqa: PERF401

        async with store.subscribe() as events:
            task = asyncio.create_task(follow(events))
            await deposit(store, "a", 1)
            await until(lambda: len(seen) == 2)
        await task

    async def test_it_goes_on_after_a_checkpoint(self, store: Store) -> None:
        """Nothing twice, nothing left out, whatever the place."""
        for number in range(4):
            await deposit(store, f"a{number}", 1, 2)
        whole = [event async for event in store.read_all()]
        for count in range(1, len(whole)):
            checkpoint, found = 0, list[int]()
            async with store.subscribe() as events:
                async for recorded in events:
                    found.append(recorded.position)
                    checkpoint = events.checkpoint
                    if len(found) == count:
                        break
            async with store.subscribe(after=checkpoint) as events:
                async for recorded in events:
                    found.append(recorded.position)
                    if len(found) == len(whole):
                        break
            assert found == [event.position for event in whole]

    async def test_a_filter_gives_only_what_was_asked_for(self, store: Store) -> None:
        """And the checkpoint moves past what does not match."""
        await deposit(store, "a", 1, 2)
        position = await deposit(store, "b")
        async with store.subscribe([Deposited]) as events:
            given = [each.event async for each in _given(events, position)]
        assert given == [Deposited(amount=1), Deposited(amount=2)]
        assert events.checkpoint == position

    async def test_an_event_of_an_unknown_class_ends_it(self, store: Store) -> None:
        """One that asked for everything; it is never skipped."""
        await _other_event(store)
        async with store.subscribe() as events:
            with pytest.raises(EventSerializationFailed, match="Gone"):
                await anext(aiter(events))

    async def test_an_unknown_class_is_passed_on_where_that_was_asked_for(
        self, store: Store
    ) -> None:
        """Undecoded, with its envelope."""
        await _other_event(store)
        async with store.subscribe(undecoded=True) as events:
            recorded = await anext(aiter(events))
        assert recorded.event_type == "Happened"
        assert isinstance(recorded.event, Undecoded)
        assert msgspec.json.decode(recorded.event.data) == {"number": 1}

    async def test_an_unknown_class_does_not_matter_to_a_filter(self, store: Store) -> None:
        """It did not ask for that one."""
        await _other_event(store)
        await deposit(store, "a", 7)
        async with store.subscribe(Deposited | Closed) as events:
            recorded = await anext(aiter(events))
        assert recorded.event == Deposited(amount=7)

    async def test_stop_ends_it(self, store: Store) -> None:
        """After the event that is being handled; also while it waits."""
        await deposit(store, "a", 1, 2)
        seen: list[int] = []
        events = store.subscribe()
        async for recorded in events:
            seen.append(recorded.version)
            events.stop()
        assert seen == [1]
        waiting = store.subscribe(after=await store.watermark())
        task = asyncio.create_task(anext(aiter(waiting), None))
        await asyncio.sleep(0.02)
        waiting.stop()
        assert await asyncio.wait_for(task, 5) is None

    async def test_a_slow_reader_holds_it_back(self, store: Store) -> None:
        """No more than a page is read ahead."""
        for number in range(5):
            await deposit(store, f"a{number}", *range(10))
        async with store.subscribe() as events:
            pages = events.pages(limit=5)
            first = await anext(pages)
            await asyncio.sleep(0.05)
            assert len(first.events) == 5
            assert events.checkpoint == first.checkpoint
            await pages.aclose()


async def _given(events: Subscription, position: int) -> AsyncGenerator[RecordedEvent[Any]]:
    """What it gives until its checkpoint is at a position."""
    async for page in events.pages():
        for each in page.events:
            yield each
        if page.checkpoint >= position:
            return


async def _other_event(store: Store) -> None:
    from hitherto.testing.store_contract.making import append_to

    await store.backend.append([append_to("gone-1", 1, type="Gone")])


class ProjectionContract:
    """What a worker does with a projection."""

    @pytest.fixture
    def attentive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Workers hear soon of what has changed, though their leases outlast a busy machine."""
        monkeypatch.setattr(membership, "_TICKS", 100)

    async def test_each_event_is_handled_once_and_in_order(self, store: Store) -> None:
        """Those that there are, and those that come."""
        await deposit(store, "a", 1, 2)
        seen = Seen()
        async with running(ProjectionWorker(store, seen)):
            await until(lambda: len(seen.given) == 2)
            await deposit(store, "b", 3)
            await deposit(store, "a", 4)
            await until(lambda: len(seen.given) == 4)
        assert seen.given == [("a", 2), ("a", 3), ("b", 2), ("a", 4)]
        assert len(set(seen.keys)) == 4

    async def test_it_goes_on_where_it_was(self, store: Store) -> None:
        """Another worker, another time."""
        await deposit(store, "a", 1, 2)
        first, second = Seen(), Seen()
        await ProjectionWorker(store, first).catch_up()
        await ProjectionWorker(store, second).catch_up()
        await deposit(store, "a", 3)
        await ProjectionWorker(store, second).catch_up()
        assert first.given == [("a", 2), ("a", 3)]
        assert second.given == [("a", 4)]

    async def test_many_events_share_a_transaction(self, store: Store) -> None:
        """As many as `batch` says."""
        await deposit(store, "a", *range(25))
        seen = Seen()
        await ProjectionWorker(store, seen, batch=10).catch_up()
        assert seen.batches == [10, 10, 5]

    async def test_one_of_a_name_works_at_a_time(self, store: Store) -> None:
        """The other stands by, and takes over when it ends."""
        first, second = Seen(), Seen()
        async with AsyncExitStack() as standing_by:
            async with running(ProjectionWorker(store, first, lease=3)):
                await until(lambda: _owners(store, "Seen"))
                idle = running(ProjectionWorker(store, second, lease=3))
                await standing_by.enter_async_context(idle)
                for number in range(5):
                    await deposit(store, f"a{number}", 1)
                await until(lambda: len(first.given) == 5)
                assert not second.given
            await deposit(store, "b", 1)
            await until(lambda: ("b", 2) in second.given)

    async def test_another_takes_over_from_one_that_died(self, store: Store) -> None:
        """When its lease is over; what it had not committed is done again."""
        await deposit(store, "a", 1, 2, 3)
        generation = await _abandoned(store, Seen(), lease=0.3)
        seen = Seen()
        async with running(ProjectionWorker(store, seen, lease=0.3)):
            await until(lambda: len(seen.given) >= 3)
        assert generation.name == "Seen"

    async def test_a_worker_that_was_replaced_cannot_write(self, store: Store) -> None:
        """Its checkpoint and its documents are refused."""
        await deposit(store, "a", 1)
        stale: Any = Accounts()
        worker = ProjectionWorker(store, stale, lease=0.2)
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow_gather(*arguments: Any) -> None:
            entered.set()
            await go_on.wait()
            await Accounts.gather(stale, *arguments)

        stale.gather = slow_gather
        checkpoints: Any = store.backend.checkpoints
        attend = checkpoints.attend
        async with running(worker):
            await entered.wait()

            async def frozen(generation: Any, name: str, **options: Any) -> Any:
                if name == worker.name:
                    await asyncio.sleep(3600)
                return await attend(generation, name, **options)

            checkpoints.attend = frozen
            await ProjectionWorker(store, Accounts(), lease=0.2).catch_up()
            await deposit(store, "a", 10)
            await ProjectionWorker(store, Accounts(), lease=0.2).catch_up()
            checkpoints.attend = attend
            go_on.set()
            await asyncio.sleep(0.1)
        document = await store.documents(Accounts).get("a")
        assert document == AccountDocument(owner="ann", balance=11)

    async def test_a_step_whose_answer_was_lost_is_not_taken_twice(self, store: Store) -> None:
        """It was committed: the worker asks how far it has come, and goes on from there."""
        checkpoints: Any = store.backend.checkpoints
        advance, lost = checkpoints.advance, [False]

        async def advance_and_lose(progress: Any, work: Any = None) -> None:
            await advance(progress, work)
            if progress.handled and not lost[0]:
                lost[0] = True
                raise EventStoreUnavailable("the answer was lost")

        await deposit(store, "a", 1)
        await ProjectionWorker(store, Accounts()).catch_up()
        await deposit(store, "a", 2)
        checkpoints.advance = advance_and_lose
        try:
            await ProjectionWorker(store, Accounts()).catch_up()
        finally:
            checkpoints.advance = advance
        assert lost[0]
        assert await store.documents(Accounts).get("a") == AccountDocument(owner="ann", balance=3)

    @pytest.mark.usefixtures("attentive")
    async def test_a_spread_projection_is_shared_by_all_workers(self, store: Store) -> None:
        """Each aggregate by one of them at a time, in order, through comings and goings."""
        seen = [Seen() for _ in range(3)]
        workers = [ProjectionWorker(store, each, spread=True, lease=10) for each in seen]
        names = [f"account-{number}" for number in range(20)]
        async with running(workers[0]):
            for name in names:
                await deposit(store, name, 1)
            async with running(*workers[1:]):
                await until(lambda: _shares(store, "Seen", 3))
                for name in names:
                    await deposit(store, name, 2)
                await until(lambda: sum(len(each.given) for each in seen) == 40)
                assert sum(bool(each.given) for each in seen) > 1
                await store.wait_for(Seen)  # Who leaves before that has it given once more.
            for name in names:
                await deposit(store, name, 3)
            await until(lambda: sum(len(each.given) for each in seen) == 60)
        given = [place for each in seen for place in each.given]
        assert sorted(given) == sorted((name, n) for name in names for n in (2, 3, 4))
        for each in seen:
            for name in names:
                own = [version for found, version in each.given if found == name]
                assert own == sorted(own)

    async def test_a_poison_event_is_parked_and_the_others_go_on(self, store: Store) -> None:
        """With its aggregate's later events, after all of its attempts."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1, 2)
        await deposit(store, "b", 3)
        await ProjectionWorker(store, seen, attempts=3).catch_up()
        await deposit(store, "a", 4)
        await deposit(store, "b", 5)
        await ProjectionWorker(store, seen, attempts=3).catch_up()
        assert seen.given == [("b", 2), ("b", 3)]
        parked = await store.backend.checkpoints.parked("Seen")
        assert [(each.aggregate_id, each.version) for each in parked] == [
            ("a", 2), ("a", 3), ("a", 4),
        ]  # fmt: skip
        assert [each.attempts for each in parked] == [3, 0, 0]
        assert parked[0].error == "RuntimeError: poison"

    async def test_an_innocent_event_is_not_parked_for_its_batch(self, store: Store) -> None:
        """Not even where one attempt is all that there is."""
        seen = Seen()
        seen.poison.add(("b", 2))
        await deposit(store, "a", 1)
        await deposit(store, "b", 2)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        assert seen.given == [("a", 2), ("a", 2)]  # the first time with the batch that failed
        (parked,) = await store.backend.checkpoints.parked("Seen")
        assert (parked.aggregate_id, parked.attempts) == ("b", 1)

    async def test_what_was_parked_is_tried_again_in_order(self, store: Store) -> None:
        """When somebody asks for it; before what comes later."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        checkpoints = store.backend.checkpoints
        seen.poison.clear()
        assert await checkpoints.retry_parked("Seen", None, skip=False) == 2
        await deposit(store, "a", 3)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        assert seen.given == [("a", 2), ("a", 3), ("a", 4)]
        assert await checkpoints.parked("Seen") == []

    async def test_a_running_worker_hears_of_a_retry(self, store: Store) -> None:
        """Within its next attendance."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1)
        async with running(ProjectionWorker(store, seen, attempts=1, lease=0.3)):
            await until(lambda: store_parked(store))
            seen.poison.clear()
            await store.backend.checkpoints.retry_parked("Seen", "a", skip=False)
            await until(lambda: seen.given == [("a", 2)])

    async def test_a_retry_that_fails_stays_parked(self, store: Store) -> None:
        """With one more attempt counted."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        checkpoints = store.backend.checkpoints
        await checkpoints.retry_parked("Seen", None, skip=False)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        parked = await checkpoints.parked("Seen")
        assert [each.attempts for each in parked] == [2, 0]
        assert seen.given == []

    async def test_a_skipped_event_is_left_out_and_the_next_are_handled(self, store: Store) -> None:
        """That is the answer to an event that will never do."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        await store.backend.checkpoints.retry_parked("Seen", "a", skip=True)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        assert seen.given == [("a", 3)]
        assert await store.backend.checkpoints.parked("Seen") == []

    async def test_what_an_upcaster_made_of_an_event_is_one(self, store: Store) -> None:
        """It is tried, parked and tried again as one; a position is never half handled."""
        await old_events(store.backend, "m-1", *HISTORY)
        Repository(store, Member)
        projection = Moves()
        projection.fails = True
        await ProjectionWorker(store, projection, attempts=2).catch_up()
        assert projection.given == []
        parked = await store.backend.checkpoints.parked("moves")
        assert [(each.version, each.attempts) for each in parked] == [(3, 2), (4, 0)]
        projection.fails = False
        await store.backend.checkpoints.retry_parked("moves", None, skip=False)
        await ProjectionWorker(store, projection, attempts=2).catch_up()
        assert projection.given == [
            Moved(town="London"),
            Called(number="1815"),
            Moved(town="Paris"),
        ]
        assert not await store.backend.checkpoints.parked("moves")

    async def test_an_attempt_that_ended_its_process_counts(self, store: Store) -> None:
        """So an event that kills its worker is parked in the end."""
        await deposit(store, "a", 1)
        await deposit(store, "b", 1)
        for _ in range(4):  # The first may have been at a whole batch.
            await _abandoned(store, Seen(), lease=0.05)
            await asyncio.sleep(0.06)
        seen = Seen()
        await ProjectionWorker(store, seen, attempts=3, lease=0.3).catch_up()
        assert seen.attempts == [("b", 2)]
        (parked,) = await store.backend.checkpoints.parked("Seen")
        assert (parked.aggregate_id, parked.attempts) == ("a", 3)

    async def test_documents_and_totals_are_the_fold(self, store: Store) -> None:
        """Also where a document goes, and comes back to zero."""
        await deposit(store, "a", 1, 2)
        await deposit(store, "b", 5)
        await deposit(store, "c", 10, owner="bob")
        await ProjectionWorker(store, Accounts()).catch_up()
        reader = store.documents(Accounts)
        assert await reader.get("a") == AccountDocument(owner="ann", balance=3)
        assert await reader.get("nobody") is None
        assert list(await reader.find(order_by="balance", descending=True, limit=2)) == ["c", "b"]
        assert list(await reader.find(owner="ann")) == ["a", "b"]
        totals = store.totals(Accounts)
        assert await totals.all() == {
            ("ann",): {"accounts": 2, "balance": 8},
            ("bob",): {"accounts": 1, "balance": 10},
        }
        accounts = Repository(store, Account)
        await accounts.update("c", lambda account: account.record(Closed()))
        await ProjectionWorker(store, Accounts()).catch_up()
        assert await totals.all() == await Accounts().fold_totals(store)
        assert await totals.get("bob") == {}
        assert await reader.find() == await Accounts().fold(store)

    async def test_spread_totals_add_up(self, store: Store) -> None:
        """Over all partitions."""
        for number in range(30):
            await deposit(store, f"a{number}", number, owner="ann" if number % 2 else "bob")
        await ProjectionWorker(store, Accounts(), spread=True, batch=7).catch_up()
        assert await store.totals(Accounts).all() == await Accounts().fold_totals(store)

    async def test_wait_for_reads_its_own_writes(self, store: Store) -> None:
        """Those of this task."""
        async with running(ProjectionWorker(store, Accounts())):
            for amount in range(1, 6):
                await deposit(store, "a", amount)
                await store.wait_for(Accounts)
                document = await store.documents(Accounts).get("a")
                assert document is not None
                assert document.balance == sum(range(amount + 1))

    async def test_wait_for_gives_up_in_the_end(self, store: Store) -> None:
        """The error names the projection and the remedy."""
        position = await deposit(store, "a", 1)
        with pytest.raises(ProjectionBehind, match=r"accounts.*worker"):
            await store.wait_for(Accounts, position, timeout=0.05)

    async def test_a_checkpoint_moves_past_what_does_not_concern_it(self, store: Store) -> None:
        """Within a moment."""
        async with running(ProjectionWorker(store, Seen())):
            position = await deposit(store, "a")
            await store.wait_for("Seen", position, timeout=5)

    async def test_a_new_version_is_filled_beside_the_old_one(self, store: Store) -> None:
        """Readers see the old one until the new one takes its place."""
        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, Accounts()).catch_up()

        class Doubled(Accounts, name="accounts", version=2):
            def evolve(self, document: Any, recorded: Any) -> Any:
                found = super().evolve(document, recorded)
                if found is None or not isinstance(recorded.event, Deposited):
                    return found
                return AccountDocument(
                    owner=found.owner, balance=found.balance + recorded.event.amount
                )

        seen: list[int] = []
        doubled: Any = Doubled()
        gather = doubled.gather

        async def watched(*arguments: Any) -> None:
            await gather(*arguments)
            document = await store.documents(Accounts).get("a")
            assert document is not None
            seen.append(document.balance)

        doubled.gather = watched
        await ProjectionWorker(store, doubled, batch=1).catch_up()
        assert seen == [3, 3, 3]
        document = await store.documents(Accounts).get("a")
        assert document == AccountDocument(owner="ann", balance=6)
        with pytest.raises(ProjectionSuperseded, match="version 2"):
            await ProjectionWorker(store, Accounts()).catch_up()

    async def test_a_worker_goes_on_with_the_view_that_was_rebuilt(self, store: Store) -> None:
        """It notices that its own was replaced."""
        await deposit(store, "a", 1)
        async with running(ProjectionWorker(store, Accounts(), lease=0.3)):
            await store.wait_for(Accounts)
            await ProjectionWorker(store, Accounts(), rebuild=True).catch_up()
            await deposit(store, "a", 2)
            await store.wait_for(Accounts, timeout=5)
        assert await store.documents(Accounts).find() == await Accounts().fold(store)
        (status,) = await store.backend.checkpoints.status("accounts")
        assert (status.generation, status.state) == (2, "active")

    async def test_side_effects_are_silent_in_a_rebuild(self, store: Store) -> None:
        """For what the old one has handled; none is left out, none is done again."""

        class Letters(Projection[None], version=1):
            sent: ClassVar[list[str]] = []
            kept: ClassVar[list[str]] = []

            @on(side_effect=True)
            def send(self, event: Deposited, context: Context[None]) -> None:
                self.sent.append(f"{context.recorded.aggregate_id}:{event.amount}")

            @on
            def keep(self, event: Deposited, context: Context[None]) -> None:
                self.kept.append(f"{context.recorded.aggregate_id}:{event.amount}")

        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, Letters()).catch_up()
        await deposit(store, "b", 3)
        await ProjectionWorker(store, Letters(), rebuild=True).catch_up()
        assert Letters.sent == ["a:1", "a:2", "b:3"]
        assert Letters.kept == ["a:1", "a:2", "a:1", "a:2", "b:3"]

    @pytest.mark.parametrize("spread", [False, True])
    async def test_it_may_begin_behind_what_is_stored(self, store: Store, spread: bool) -> None:
        """What is to come it is given; and where it has begun, that is where it goes on."""

        class Letters(Projection[None], version=1):
            sent: ClassVar[list[int]] = []

            @on
            def send(self, event: Deposited, context: Context[None]) -> None:
                self.sent.append(event.amount)

        async def catch_up(**settings: Any) -> None:
            worker = ProjectionWorker(store, Letters(), spread=spread, **settings)
            await worker.catch_up()

        await deposit(store, "a", 1, 2)
        await catch_up(after=await store.watermark())
        await deposit(store, "b", 3)
        await deposit(store, "a", 4)
        assert Letters.sent == []
        await catch_up(after=await store.watermark())
        assert sorted(Letters.sent) == [3, 4]

    async def test_it_begins_at_the_end_at_the_latest(self, store: Store) -> None:
        """A position that there is not yet would skip what comes."""
        await deposit(store, "a", 1)
        await ProjectionWorker(store, Accounts(), after=10**9).catch_up()
        await deposit(store, "b", 2)
        await ProjectionWorker(store, Accounts()).catch_up()
        assert list(await store.documents(Accounts).find()) == ["b"]

    async def test_side_effects_of_a_spread_projection_are_done_once(self, store: Store) -> None:
        """Though its partitions are not equally far when the new view takes its place."""

        class Letters(Projection[None], name="letters"):
            sent: ClassVar[list[str]] = []

            @on(side_effect=True)
            def send(self, event: Deposited, context: Context[None]) -> None:
                self.sent.append(context.recorded.aggregate_id)

        names = [f"account-{number}" for number in range(20)]
        for name in names:
            await deposit(store, name, 1)
        checkpoints = store.backend.checkpoints
        generation = await checkpoints.prepare(
            "letters", version=1, partitions=64, rebuild=False, setup=lambda *_: None
        )
        taken = await checkpoints.attend(generation, "slow", lease=60, held={})
        slow = generation.partition_of(names[0])
        rest = {each.partition: each.token for each in taken.leases if each.partition != slow}
        await checkpoints.release(generation, "slow", rest, leave=True)
        worker = ProjectionWorker(store, Letters(), spread=True)
        fast = {name for name in names if generation.partition_of(name) != slow}
        async with running(worker):
            await until(lambda: _handled(store, "letters", len(fast)))
        await ProjectionWorker(store, Letters(), spread=True, rebuild=True).catch_up()
        assert sorted(Letters.sent) == sorted(names)

    async def test_a_side_effect_in_the_view_is_silent_when_it_is_retried(
        self, store: Store
    ) -> None:
        """An event that the old view has handled, and that failed in the new one."""

        class Letters(Projection[None], name="letters"):
            sent: ClassVar[list[str]] = []
            fail: ClassVar[list[bool]] = []

            @on(side_effect=True)
            def send(self, event: Deposited, context: Context[None]) -> None:
                self.sent.append(context.recorded.aggregate_id)

            @on
            def view(self, event: Deposited, context: Context[None]) -> None:
                if self.fail:
                    raise RuntimeError("no")

        await deposit(store, "a", 1)
        await ProjectionWorker(store, Letters()).catch_up()
        Letters.fail.append(True)
        await ProjectionWorker(store, Letters(), rebuild=True, attempts=1).catch_up()
        Letters.fail.clear()
        await store.backend.checkpoints.retry_parked("letters", None, skip=False)
        await ProjectionWorker(store, Letters()).catch_up()
        assert await store.backend.checkpoints.parked("letters") == []
        assert Letters.sent == ["a"]

    async def test_a_skip_is_heard_of_by_a_running_worker(self, store: Store) -> None:
        """The next event of the aggregate is handled, for nothing is in front of it."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1)
        async with running(ProjectionWorker(store, seen, attempts=1)):
            await until(lambda: store_parked(store))
            await store.backend.checkpoints.retry_parked("Seen", "a", skip=True)
            await deposit(store, "a", 2)
            await until(lambda: seen.given == [("a", 3)])
        assert await store.backend.checkpoints.parked("Seen") == []

    async def test_an_outage_inside_a_handler_counts_nothing(self, store: Store) -> None:
        """Nothing is parked for it, however long it takes."""
        outages = [True] * 4

        class Looking(Projection[None]):
            given: ClassVar[list[int]] = []

            @on
            def look(self, event: Deposited, context: Context[None]) -> None:
                if outages:
                    outages.pop()
                    raise EventStoreUnavailable("out")
                self.given.append(event.amount)

        await deposit(store, "a", 1)
        await ProjectionWorker(store, Looking(), attempts=2).catch_up()
        assert Looking.given == [1]
        assert await store.backend.checkpoints.parked("Looking") == []

    async def test_a_retry_that_meets_an_outage_is_made_again(self, store: Store) -> None:
        """What somebody asked for is not forgotten."""
        seen = Seen()
        seen.poison.add(("a", 2))
        await deposit(store, "a", 1)
        await ProjectionWorker(store, seen, attempts=1).catch_up()
        await store.backend.checkpoints.retry_parked("Seen", None, skip=False)
        handle, outages = seen.handle, [True]

        def out_once(events: Any, batch: Any) -> Any:
            if outages:
                outages.pop()
                raise EventStoreUnavailable("out")
            return handle(events, batch)

        seen.poison.clear()
        seen.handle = out_once  # type: ignore[method-assign]
        async with running(ProjectionWorker(store, seen)):
            await until(lambda: seen.given == [("a", 2)])
            await until(lambda: store_unparked(store))

    async def test_documents_may_be_changed_in_place(self, store: Store) -> None:
        """Totals are of what they were before."""

        class Mutable(msgspec.Struct):
            balance: int = 0

        class Balances(Totals[Mutable, Opened | Deposited]):
            def evolve(
                self, document: Mutable | None, recorded: RecordedEvent[Opened | Deposited]
            ) -> Mutable:
                document = document or Mutable()
                if isinstance(recorded.event, Deposited):
                    document.balance += recorded.event.amount
                return document

            def amounts(self, document: Mutable) -> dict[Key, Amounts]:
                sign = "rich" if document.balance > 2 else "poor"
                return {("all",): {sign: 1, "balance": document.balance}}

        for amount in (1, 2, -2, 5):
            await deposit(store, "a", amount)
            await ProjectionWorker(store, Balances()).catch_up()
            found = await store.totals(Balances).all()
            assert found == await Balances().fold_totals(store)
            assert found["all",]["nothing"] == 0

    async def test_a_log_that_went_back_stops_a_running_worker(self, store: Store) -> None:
        """It is not the log that its view tells of."""
        await deposit(store, "a", 1, 2)
        checkpoints: Any = store.backend.checkpoints
        attend, restored = checkpoints.attend, [False]

        async def attend_restored(*arguments: Any, **options: Any) -> Any:
            found = await attend(*arguments, **options)
            if not restored[0]:
                return found
            back = [msgspec.structs.replace(each, position=0) for each in found.leases]
            return msgspec.structs.replace(found, leases=tuple(back))

        checkpoints.attend = attend_restored
        try:
            async with running(ProjectionWorker(store, Seen(), lease=0.2)) as (task,):
                await store.wait_for("Seen")
                restored[0] = True
                with pytest.raises(CheckpointInvalid, match="rebuild"):
                    await asyncio.wait_for(task, 10)
        finally:
            checkpoints.attend = attend

    async def test_an_old_rebuilder_does_not_bring_its_view_back(self, store: Store) -> None:
        """Once a newer version is in place, it ends."""
        await deposit(store, "a", 1)

        class Newer(Accounts, name="accounts", version=2):
            pass

        async with running(ProjectionWorker(store, Accounts(), rebuild=True, lease=0.2)) as (old,):
            await store.wait_for(Accounts)
            await ProjectionWorker(store, Newer()).catch_up()
            with pytest.raises(ProjectionSuperseded):
                await asyncio.wait_for(old, 10)

    async def test_stop_ends_a_worker_among_poison(self, store: Store) -> None:
        """Between two attempts."""
        seen = Seen()
        for number in range(20):
            await deposit(store, f"a{number}", 1)
            seen.poison.add((f"a{number}", 2))
        worker = ProjectionWorker(store, seen, attempts=100)
        async with running(worker) as (task,):
            await until(lambda: len(seen.attempts) > 3)
            worker.stop()
            await asyncio.wait_for(task, 5)

    async def test_a_paused_projection_cannot_be_caught_up(self, store: Store) -> None:
        """That is told, rather than waited for."""
        await ProjectionWorker(store, Seen()).catch_up()
        await store.backend.checkpoints.pause("Seen", paused=True)
        with pytest.raises(ProjectionBehind, match="resume"):
            await ProjectionWorker(store, Seen()).catch_up()

    async def test_a_cancellation_inside_a_handler_is_its_failure(self, store: Store) -> None:
        """It does not end the worker."""

        class Cancelling(Projection[Any], elsewhere=True):
            @on
            async def cancelled(self, event: Deposited, context: Context[Any]) -> None:
                raise asyncio.CancelledError

        await deposit(store, "a", 1)
        await ProjectionWorker(store, Cancelling(), attempts=1).catch_up()
        assert len(await store.backend.checkpoints.parked("Cancelling")) == 1

    async def test_a_function_can_be_a_projection(self, store: Store) -> None:
        """Its annotation tells the events."""
        given: list[int] = []

        async def add(event: Deposited, context: Context[Any]) -> None:
            given.append(event.amount)

        await deposit(store, "a", 1, 2)
        await ProjectionWorker(store, projection("adding", add, elsewhere=True)).catch_up()
        assert given == [1, 2]
        assert await store.backend.checkpoints.position("adding") is not None

    async def test_a_live_projection_keeps_nothing(self, store: Store) -> None:
        """It is folded now."""
        await deposit(store, "a", 1, 2)

        class Sum(Projection[Any]):
            total = 0

            @on
            def add(self, event: Deposited, context: Context[Any]) -> None:
                self.total += event.amount

        assert (await live(store, Sum())).total == 3
        for refused in (Seen(), Accounts()):
            with pytest.raises(InvalidInput, match="cannot be live"):
                await live(store, refused)
        assert await store.backend.checkpoints.status() == []

    @pytest.mark.usefixtures("attentive")
    async def test_pause_and_resume(self, store: Store) -> None:
        """A paused projection stands still, and goes on when it is told to."""
        seen = Seen()
        async with running(ProjectionWorker(store, seen, lease=10)):
            await until(lambda: _owners(store, "Seen"))
            await store.backend.checkpoints.pause("Seen", paused=True)
            await until(lambda: _nobody_owns(store, "Seen"))
            await deposit(store, "a", 1)
            await asyncio.sleep(0.1)
            assert seen.given == []
            await store.backend.checkpoints.pause("Seen", paused=False)
            await until(lambda: seen.given == [("a", 2)])

    async def test_stop_ends_a_worker(self, store: Store) -> None:
        """And lets go of its lease at once."""
        worker = ProjectionWorker(store, Seen())
        async with running(worker) as (task,):
            await until(lambda: _owners(store, "Seen"))
            worker.stop()
            await asyncio.wait_for(task, 5)
        assert await _nobody_owns(store, "Seen")

    async def test_a_stop_before_the_start_counts(self, store: Store) -> None:
        """Once: thereafter it can be run again."""
        worker = ProjectionWorker(store, Seen())
        async with running(worker) as (task,):
            worker.stop()
            await asyncio.wait_for(task, 5)
            assert await store.backend.checkpoints.status() == []
        async with running(worker):
            await until(lambda: _owners(store, "Seen"))


async def _owners(store: Store, name: str) -> bool:
    return any(each.owners for each in await store.backend.checkpoints.status(name))


async def _handled(store: Store, name: str, count: int) -> bool:
    (found,) = await store.backend.checkpoints.status(name)
    return found.handled >= count


async def _nobody_owns(store: Store, name: str) -> bool:
    return not await _owners(store, name)


async def store_parked(store: Store) -> bool:
    """Whether an event is parked."""
    return bool(await store.backend.checkpoints.parked("Seen"))


async def store_unparked(store: Store) -> bool:
    """Whether no event is parked."""
    return not await store_parked(store)


async def _shares(store: Store, name: str, count: int) -> bool:
    """Whether so many workers have fair shares."""
    found = await store.backend.checkpoints.status(name)
    shares = [count for each in found for count in each.owners.values()]
    return len(shares) == count and sum(shares) == 64 and max(shares) - min(shares) <= 2


async def _abandoned(store: Store, seen: Seen, *, lease: float) -> Any:
    """A worker took the first event, and was never heard of again."""
    checkpoints = store.backend.checkpoints
    generation = await checkpoints.prepare(
        seen.name, version=1, partitions=1, rebuild=False, setup=lambda *_: None
    )
    found = await checkpoints.attend(generation, "dead", lease=lease, held={})
    await checkpoints.begin(generation, {each.partition: each.token for each in found.leases})
    return generation


class Rows(Projection[Any], name="rows", tables=["deposits"]):
    """Keeps a row for each deposit, which would be refused a second time."""

    def setup(self, connection: Any, batch: Batch[Any]) -> Any:
        table = batch.table("deposits")
        return connection.execute(f"CREATE TABLE {table} (place TEXT PRIMARY KEY, amount INT)")

    @on
    def deposited(self, event: Deposited, context: Context[Any]) -> Any:
        place = f"{context.recorded.aggregate_id}-{context.recorded.version}"
        return context.connection.execute(
            f"INSERT INTO {context.table('deposits')} VALUES ('{place}', {event.amount})"
        )


class Broken(Rows, name="rows", tables=["deposits"]):
    """Fails after it has written."""

    @on
    def fails(self, event: Deposited, context: Context[Any]) -> NoReturn:
        raise RuntimeError("no")


class RowsContract(ABC):
    """What holds for a view of one's own tables in the store's database."""

    @abstractmethod
    def opened(self, **options: Any) -> Store:
        """The same store, not opened yet."""

    @abstractmethod
    async def rows(self) -> dict[str, int]:
        """What the view says."""

    async def test_effects_are_committed_once(self) -> None:
        """Through several workers."""
        async with self.opened() as store:
            await deposit(store, "a", 1, 2)
            await ProjectionWorker(store, Rows()).catch_up()
            await deposit(store, "a", 3)
            await ProjectionWorker(store, Rows()).catch_up()
        assert await self.rows() == {"a-2": 1, "a-3": 2, "a-4": 3}

    async def test_what_a_failed_handler_wrote_is_gone(self) -> None:
        """The event is parked, the view is as if nothing had been."""
        async with self.opened() as store:
            await deposit(store, "a", 1)
            await ProjectionWorker(store, Broken(), attempts=2).catch_up()
            assert len(await store.backend.checkpoints.parked("rows")) == 1
        assert await self.rows() == {}

    async def test_a_rebuild_puts_new_tables_in_place(self) -> None:
        """Under the same names; the old ones are dropped."""

        class Negated(Rows, name="rows", version=2, tables=["deposits"]):
            @on
            def deposited(self, event: Deposited, context: Context[Any]) -> Any:
                place = f"{context.recorded.aggregate_id}-{context.recorded.version}"
                return context.connection.execute(
                    f"INSERT INTO {context.table('deposits')} VALUES ('{place}', {-event.amount})"
                )

        async with self.opened() as store:
            await deposit(store, "a", 1, 2)
            await ProjectionWorker(store, Rows()).catch_up()
            for _ in range(2):
                await ProjectionWorker(store, Negated(), rebuild=True).catch_up()
                assert await self.rows() == {"a-2": -1, "a-3": -2}
            await deposit(store, "a", 3)
            await ProjectionWorker(store, Negated()).catch_up()
        assert await self.rows() == {"a-2": -1, "a-3": -2, "a-4": -3}

    async def test_a_setup_that_makes_no_table_is_refused(self) -> None:
        """Such as one that forgot a statement; nothing is kept of it."""

        class Forgetful(Rows, name="rows", tables=["deposits", "sums"]):
            pass

        async with self.opened() as store:
            with pytest.raises(HandlerFailed, match=r"Forgetful.setup made no table 'sums'"):
                await ProjectionWorker(store, Forgetful()).run()
            assert await store.backend.checkpoints.status() == []

    async def test_a_rebuild_whose_setup_makes_no_table_is_refused(self) -> None:
        """Such as one that makes the table of before; that is still there."""

        class Same(Rows, name="rows", version=2, tables=["deposits"]):
            def setup(self, connection: Any, batch: Batch[Any]) -> Any:
                return connection.execute(
                    "CREATE TABLE IF NOT EXISTS deposits (place TEXT PRIMARY KEY, amount INT)"
                )

        async with self.opened() as store:
            await deposit(store, "a", 1)
            await ProjectionWorker(store, Rows()).catch_up()
            with pytest.raises(HandlerFailed, match=r"Same.setup made no table 'deposits__2'"):
                await ProjectionWorker(store, Same()).catch_up()
            await deposit(store, "a", 2)
            await ProjectionWorker(store, Rows()).catch_up()
        assert await self.rows() == {"a-2": 1, "a-3": 2}

    async def test_an_inline_view_is_committed_with_the_append(self) -> None:
        """So it can be read at once."""
        async with self.opened(inline=[Rows()]) as store:
            await deposit(store, "a", 1, 2)
            assert await self.rows() == {"a-2": 1, "a-3": 2}
            await store.wait_for(Rows)
            await deposit(store, "a", 3)
            await deposit(store, "b")
        assert await self.rows() == {"a-2": 1, "a-3": 2, "a-4": 3}

    async def test_an_append_whose_inline_view_fails_is_not_stored(self) -> None:
        """Nor is anything of the view."""
        async with self.opened(inline=[Broken()]) as store:
            await deposit(store, "a")
            with pytest.raises(HandlerFailed, match="no"):
                await deposit(store, "a", 1)
            assert (await Repository(store, Account).load("a")).version == 1
        assert await self.rows() == {}

    async def test_an_append_that_loses_leaves_nothing_in_an_inline_view(self) -> None:
        """Of the racers for one version one wins, with its effects."""
        async with self.opened(inline=[Rows()]) as store:
            await deposit(store, "a", 1)
            accounts = Repository(store, Account)

            async def add(amount: int) -> None:
                account = await accounts.load("a", version=2)
                account.record(Deposited(amount=amount))
                await accounts.save(account)

            results = await asyncio.gather(*map(add, range(10, 15)), return_exceptions=True)
            won = [10 + n for n, result in enumerate(results) if result is None]
            assert len(won) == 1
        assert await self.rows() == {"a-2": 1, "a-3": won[0]}

    async def test_a_view_that_is_behind_cannot_be_inline(self) -> None:
        """It would miss what is there already; it is filled first."""
        async with self.opened() as store:
            await deposit(store, "a", 1)
        with pytest.raises(ProjectionBehind, match="rows"):
            await self.opened(inline=[Rows()]).open()
        async with self.opened() as store:
            await ProjectionWorker(store, Rows()).catch_up()
        async with self.opened(inline=[Rows()]) as store:
            await deposit(store, "a", 2)
        assert await self.rows() == {"a-2": 1, "a-3": 2}

    async def test_an_inline_view_is_rebuilt_beside_appends(self) -> None:
        """And is inline again afterwards."""
        async with self.opened(inline=[Rows()]) as store:
            await deposit(store, "a", 1, 2)
            await ProjectionWorker(store, Rows(), rebuild=True).catch_up()
            await deposit(store, "a", 3)
            assert await self.rows() == {"a-2": 1, "a-3": 2, "a-4": 3}

    async def test_a_worker_leaves_an_inline_view_alone(self) -> None:
        """Each event is handled by its append alone."""
        store = self.opened(inline=[Rows()])
        async with store, running(ProjectionWorker(store, Rows(), lease=0.2)):
            await deposit(store, "a", 1)
            await asyncio.sleep(0.3)
            await deposit(store, "a", 2)
        assert await self.rows() == {"a-2": 1, "a-3": 2}

    async def test_documents_cannot_be_inline(self) -> None:
        """They are looked up before the transaction; the error says what to do instead."""
        with pytest.raises(InvalidInput, match="wait_for"):
            self.opened(inline=[Accounts()])
