"""Traces: what is a span of what, and how a consumer finds back to whoever saved an event."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from examples.users import User
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)

from hitherto import (
    AggregateVersionConflict,
    EventStoreUnavailable,
    Metadata,
    RecordedEvent,
    Repository,
    Store,
    connect,
    metadata_context,
    sync,
)
from hitherto.application.alongside import Alongside
from hitherto.application.records import Append
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.opentelemetry import OpenTelemetryInstrumentation
from hitherto.infrastructure.resilience import Resilient


@dataclass
class Traces:
    """What is traced, and the spans that have ended."""

    tracing: OpenTelemetryInstrumentation
    tracer: trace.Tracer
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """The one span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def traces() -> Traces:
    """Of a provider of its own: the global one can be set once a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(OpenTelemetryInstrumentation(provider), provider.get_tracer("test"), exporter)


def new_user(name: str = "Ada") -> User:
    return User.create(f"user-{uuid4()}", "ada@example.com", name)


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def traceparent_of(span: ReadableSpan) -> str:
    context = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class Failing(MemoryStore):
    """Fails for a passing reason, some times before it works."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        if self.failures:
            self.failures -= 1
            raise EventStoreUnavailable("the connection was cut")
        return await super().append(appends, alongside=alongside)


async def test_a_save_is_a_span_that_sends_events_to_the_type(traces: Traces) -> None:
    """By the conventions for messaging."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        user = new_user()
        user.rename("Grace")
        await Repository(store, User).save(user)
    span = traces.named("save User")
    assert span.kind is SpanKind.PRODUCER
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span) == {
        "messaging.system": "hitherto",
        "messaging.operation.name": "save",
        "messaging.operation.type": "send",
        "messaging.destination.name": "User",
        "messaging.batch.message_count": 2,
        "hitherto.aggregate.id": user.id,
    }


async def test_a_call_of_the_store_is_a_span_below_its_operation(traces: Traces) -> None:
    """So the trace tells what took the time."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        await Repository(store, User).save(new_user())
    span = traces.named("append")
    assert span.kind is SpanKind.CLIENT
    assert parent_of(span) == traces.named("save User").context.span_id
    assert attributes_of(span) == {
        "messaging.system": "hitherto",
        "messaging.operation.name": "append",
    }


async def test_a_span_of_the_users_own_is_the_parent(traces: Traces) -> None:
    """Of loads and saves alike; afterwards it is the current one again."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user = new_user()
        with traces.tracer.start_as_current_span("request") as request:
            await users.save(user)
            await users.update(user.id, lambda user: user.rename("Grace"))
            assert trace.get_current_span() is request
    saves = [span for span in traces.spans if span.name == "save User"]
    own = [*saves, traces.named("load User")]
    assert len(own) == 3
    assert {parent_of(span) for span in own} == {request.get_span_context().span_id}


async def test_operations_side_by_side_do_not_nest(traces: Traces) -> None:
    """Each task has a current span of its own."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        with traces.tracer.start_as_current_span("request") as request:
            await asyncio.gather(*(users.save(new_user()) for _ in range(20)))
    saves = {span.context.span_id: span for span in traces.spans if span.name == "save User"}
    appends = [span for span in traces.spans if span.name == "append"]
    assert {parent_of(span) for span in saves.values()} == {request.get_span_context().span_id}
    assert {parent_of(span) for span in appends} == saves.keys()
    assert len(saves) == 20


@pytest.mark.parametrize(
    ("name", "operate", "count"),
    [
        ("load", lambda users: users.load("user-1"), 2),
        ("load_many", lambda users: users.load_many(["user-1", "user-2"]), 3),
        ("exists", lambda users: users.exists("user-1"), None),
        ("history", lambda users: users.history("user-1"), None),
    ],
)
async def test_what_is_no_save_is_an_internal_span(
    traces: Traces, name: str, operate: Callable[[Any], Any], count: int | None
) -> None:
    """It sends nothing; where events are folded, it says how many."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        first = User.create("user-1", "ada@example.com", "Ada")
        first.rename("Grace")
        await users.save_all(first, User.create("user-2", "kurt@example.com", "Kurt"))
        await operate(users)
    span = traces.named(f"{name} User")
    assert span.kind is SpanKind.INTERNAL
    assert "messaging.operation.type" not in attributes_of(span)
    assert attributes_of(span).get("messaging.batch.message_count") == count
    assert attributes_of(traces.named("save_all User"))["messaging.batch.message_count"] == 3
    assert "hitherto.aggregate.id" not in attributes_of(traces.named("save_all User"))


async def test_a_snapshot_within_a_load_does_not_take_its_count(traces: Traces) -> None:
    """The load goes on where the snapshot, which is a span below it, has ended."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        saved = [new_user(), new_user()]
        users = Repository(store, User, snapshot_every=1)
        for user in saved:
            await users.save(user)
            kept = await store.backend.read_snapshot(user.id)
            assert kept is not None
            spoiled = msgspec.structs.replace(kept, fingerprint="old")
            await store.backend.save_snapshot(spoiled, replacing=1)
        traces.exporter.clear()
        await users.load_many([user.id for user in saved])
    load = traces.named("load_many User")
    snapshots = [span for span in traces.spans if span.name == "snapshot User"]
    assert [parent_of(snapshot) for snapshot in snapshots] == [load.context.span_id] * 2
    assert [event.name for event in load.events] == ["snapshot_unusable"] * 2
    assert attributes_of(load)["messaging.batch.message_count"] == 2


async def test_a_failure_is_told_by_its_span(traces: Traces) -> None:
    """As the class of the error, by which traces are searched, and as the exception itself."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user = new_user()
        await users.save(user)
        stale = await users.load(user.id)
        await users.update(user.id, lambda user: user.rename("Grace"))
        stale.rename("Kurt")
        traces.exporter.clear()
        with pytest.raises(AggregateVersionConflict):
            await users.save(stale)
    for name in ("append", "save User"):
        span = traces.named(name)
        assert span.status.status_code is StatusCode.ERROR
        assert "is at version 2" in str(span.status.description)
        assert attributes_of(span)["error.type"] == "AggregateVersionConflict"
        assert [event.name for event in span.events] == ["exception"]


async def test_a_cancelled_operation_ends_its_span(traces: Traces) -> None:
    """As an error: its caller gave up."""

    class Hanging(MemoryStore):
        async def append(
            self, appends: Sequence[Append], *, alongside: Alongside | None = None
        ) -> tuple[int, ...]:
            await asyncio.sleep(60)
            raise AssertionError

    store = Store(Hanging(), instrumentation=traces.tracing)
    saving = asyncio.create_task(Repository(store, User).save(new_user()))
    await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert attributes_of(traces.named("save User"))["error.type"] == "CancelledError"


async def test_a_retry_and_the_breaker_are_events_of_the_calls_span(traces: Traces) -> None:
    """One span for a call, however often it is tried."""
    hooks = traces.tracing
    backend = Resilient(Failing(2), instrumentation=hooks)
    await Repository(Store(backend, instrumentation=hooks), User).save(new_user())
    assert [event.name for event in traces.named("append").events] == ["call_retried"] * 2
    traces.exporter.clear()
    backend = Resilient(Failing(99), timeout=0.01, breaker_threshold=1, instrumentation=hooks)
    with pytest.raises(EventStoreUnavailable):
        await Repository(Store(backend, instrumentation=hooks), User).save(new_user())
    told = [event.name for event in traces.named("append").events]
    assert told[-2:] == ["breaker_open", "exception"]


async def test_events_keep_the_context_of_the_span_that_saved_them(traces: Traces) -> None:
    """As W3C's trace context, beside the user's own metadata."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user = new_user()
        await users.save(user, metadata=Metadata(actor="ada", extra={"tenant": 7}))
        (recorded,) = await users.history(user.id)
    traceparent = traceparent_of(traces.named("save User"))
    assert recorded.metadata == Metadata(
        actor="ada", extra={"traceparent": traceparent, "tenant": 7}
    )


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/store.db"])
async def test_the_state_of_a_trace_is_kept_too(
    traces: Traces, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who takes part in a trace may have put something there; it comes back from every store."""
    url = url.format(tmp_path_factory.mktemp("traces"))
    state = TraceState([("vendor", "a:1"), ("other", "2")])
    caller = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    async with connect(url, instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user = new_user()
        with trace.use_span(NonRecordingSpan(caller)):
            await users.save(user)
        (recorded,) = await users.history(user.id)
    assert recorded.metadata.extra["tracestate"] == "vendor=a:1,other=2"
    with traces.tracing.processing(recorded):
        pass
    (link,) = traces.named("process User").links
    assert link.context.trace_state == state


async def test_a_key_of_the_users_own_wins(traces: Traces) -> None:
    """If it is given with the save; one that is inherited is that of an older trace."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user, other = new_user(), new_user()
        await users.save(user, metadata=Metadata(extra={"traceparent": "mine"}))
        with metadata_context(traceparent="of the event that is handled"):
            await users.save(other)
        (mine,), (inherited,) = await users.history(user.id), await users.history(other.id)
    assert mine.metadata.extra == {"traceparent": "mine"}
    assert str(inherited.metadata.extra["traceparent"]).startswith("00-")


async def test_without_a_provider_nothing_is_added() -> None:
    """The API alone makes no spans."""
    silent = OpenTelemetryInstrumentation(trace.NoOpTracerProvider())
    async with connect("memory:", instrumentation=silent) as store:
        users = Repository(store, User)
        user = new_user()
        await users.save(user)
        (recorded,) = await users.history(user.id)
    assert recorded.metadata == Metadata()


async def saved_event(traces: Traces, **metadata: Any) -> RecordedEvent[Any]:
    """An event that was saved within a trace."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        user = new_user()
        await users.save(user, metadata=Metadata(**metadata))
        (recorded,) = await users.history(user.id)
    return recorded


async def test_a_consumers_span_links_to_the_span_that_saved_the_event(traces: Traces) -> None:
    """And belongs to the consumer's own trace: months may lie between."""
    recorded = await saved_event(traces, correlation_id="order-7")
    with (
        traces.tracer.start_as_current_span("projection") as projection,
        traces.tracing.processing(recorded) as span,
    ):
        assert trace.get_current_span() is span
    saved, processed = traces.named("save User"), traces.named("process User")
    assert processed.kind is SpanKind.CONSUMER
    assert parent_of(processed) == projection.get_span_context().span_id
    assert processed.context.trace_id != saved.context.trace_id
    (link,) = processed.links
    assert (link.context.trace_id, link.context.span_id) == (
        saved.context.trace_id,
        saved.context.span_id,
    )
    assert attributes_of(processed) == {
        "messaging.system": "hitherto",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "User",
        "messaging.message.id": str(recorded.event_id),
        "messaging.message.conversation_id": "order-7",
        "hitherto.event.type": "UserCreated",
        "hitherto.aggregate.id": recorded.aggregate_id,
    }


async def test_a_batch_of_a_projection_links_to_each_span_that_saved_a_part(
    traces: Traces,
) -> None:
    """Once, however many events one save had."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        users = Repository(store, User)
        first, second = new_user(), new_user()
        first.rename("Grace")
        await users.save(first)
        await users.save(second, metadata=Metadata(extra={"traceparent": ""}))
        await users.update(second.id, lambda user: user.rename("Kurt"))
        events = [recorded async for recorded in store.read_all()]
    with traces.tracing.handling("Balances", events) as span:
        assert trace.get_current_span() is span
    handled = traces.named("process Balances")
    saved = [each.context.span_id for each in traces.spans if each.name == "save User"]
    assert [link.context.span_id for link in handled.links] == [saved[0], saved[2]]
    assert handled.kind is SpanKind.CONSUMER
    assert attributes_of(handled) == {
        "messaging.system": "hitherto",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "Balances",
        "messaging.batch.message_count": 4,
    }


async def test_a_commands_span_stands_above_what_it_saves(traces: Traces) -> None:
    """So that a trace tells why."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        with traces.tracing.command("CreateUser"):
            await Repository(store, User).save(new_user())
    command = traces.named("command CreateUser")
    assert parent_of(traces.named("save User")) == command.context.span_id
    assert attributes_of(command)["hitherto.command"] == "CreateUser"


async def test_a_consumers_failure_is_told_by_its_span(traces: Traces) -> None:
    """And goes on to its caller."""
    recorded = await saved_event(traces)
    with pytest.raises(ZeroDivisionError), traces.tracing.processing(recorded):
        raise ZeroDivisionError
    assert attributes_of(traces.named("process User"))["error.type"] == "ZeroDivisionError"


@pytest.mark.parametrize("traceparent", ["", "mine", 7, None, "00-" + "0" * 32 + "-" + "0" * 16])
async def test_a_context_that_makes_no_sense_is_not_linked_to(
    traces: Traces, traceparent: Any
) -> None:
    """Other tools write metadata, too. The consumer's own span is no substitute."""
    linked: list[object] = []

    class Telling(trace.NoOpTracer):
        def start_span(self, *arguments: Any, **options: Any) -> trace.Span:
            linked.extend(options["links"])
            return super().start_span(*arguments, **options)

    class Provider(trace.NoOpTracerProvider):
        def get_tracer(self, *_arguments: Any, **_options: Any) -> trace.Tracer:
            return Telling()

    recorded = await saved_event(traces, extra={"traceparent": traceparent})
    with (
        traces.tracer.start_as_current_span("projection"),
        OpenTelemetryInstrumentation(Provider()).processing(recorded),
    ):
        assert linked == []


async def test_the_conversation_is_the_correlation_id_of_the_block(traces: Traces) -> None:
    """What `metadata_context` tells."""
    async with connect("memory:", instrumentation=traces.tracing) as store:
        with metadata_context(correlation_id="order-7"):
            await Repository(store, User).save(new_user())
    assert attributes_of(traces.named("save User"))["messaging.message.conversation_id"] == (
        "order-7"
    )


def test_without_await_a_span_of_the_callers_thread_is_the_parent(traces: Traces) -> None:
    """The work is done on another thread, within the caller's context."""
    with sync.connect("memory:", instrumentation=traces.tracing) as store:
        users = sync.Repository(store, User)
        with traces.tracer.start_as_current_span("request") as request:
            users.save(new_user())
    assert parent_of(traces.named("save User")) == request.get_span_context().span_id


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not part of the bare install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "hitherto.infrastructure.opentelemetry")
    with pytest.raises(ModuleNotFoundError, match=r"hitherto\[otel\]"):
        importlib.import_module("hitherto.infrastructure.opentelemetry")
