"""`OpenTelemetryInstrumentation`: the hooks as traces, by opentelemetry-api, an extra."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from importlib.metadata import version
from types import TracebackType
from typing import Any

from hitherto.application.health import BreakerState
from hitherto.application.instrumentation import Instrumentation
from hitherto.domain.metadata import Metadata, MetadataValue, current_metadata
from hitherto.domain.recorded import RecordedEvent

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "traces need opentelemetry-api: pip install 'hitherto[otel]'"
    ) from _error

_SYSTEM = "messaging.system"
_OPERATION_NAME = "messaging.operation.name"
_OPERATION_TYPE = "messaging.operation.type"
_DESTINATION = "messaging.destination.name"
_CONVERSATION = "messaging.message.conversation_id"
_MESSAGE = "messaging.message.id"
_COUNT = "messaging.batch.message_count"
_CONSUMER = "messaging.consumer.group.name"
_AGGREGATE_ID = "hitherto.aggregate.id"
_MOST_LINKS = 128  # what an SDK keeps by default
_SAVES = frozenset({"save", "save_all"})
_W3C = TraceContextTextMapPropagator()


class OpenTelemetryInstrumentation(Instrumentation):
    """A span for each operation of a repository, and one below it for each call of the store.

    Hand it to `connect`::

        tracing = OpenTelemetryInstrumentation()
        store = connect(instrumentation=tracing)

    It follows the semantic conventions for messaging: a save sends events to the aggregate's
    type. Each event keeps the context of the span that saved it, in its metadata as `traceparent`
    and `tracestate`; whoever handles it does so in a span that links to that one: the worker of a
    projection by itself, others within `processing`.

    Args:
        tracer_provider: Makes the spans; the global one if left out.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("hitherto", version("hitherto"), tracer_provider)

    def processing(self, recorded: RecordedEvent[Any]) -> "_Spanning":
        """A span around what a consumer does with an event; ``with`` gives the span.

        It belongs to the consumer's own trace, and links to the span that saved the event.
        """
        attributes = {
            **_attributes("process", recorded.metadata, recorded.aggregate_type),
            _OPERATION_TYPE: "process",
            _MESSAGE: str(recorded.event_id),
            "hitherto.event.type": recorded.event_type,
            _AGGREGATE_ID: recorded.aggregate_id,
        }
        name = f"process {recorded.aggregate_type}"
        links = _links(recorded.metadata)
        return _Spanning(self._tracer, name, SpanKind.CONSUMER, attributes, links)

    def handling(self, projection: str, events: Sequence[RecordedEvent[Any]]) -> "_Spanning":
        """See `Instrumentation`, as for all that follow."""
        attributes: dict[str, str | int] = {
            _SYSTEM: "hitherto",
            _OPERATION_NAME: "process",
            _OPERATION_TYPE: "process",
            _CONSUMER: projection,
            _COUNT: len(events),
        }
        contexts_of = {each.metadata.extra.get("traceparent"): each.metadata for each in events}
        saved = list(contexts_of.values())[:_MOST_LINKS]
        links = tuple(link for metadata in saved for link in _links(metadata))
        name = f"process {projection}"
        return _Spanning(self._tracer, name, SpanKind.CONSUMER, attributes, links)

    def command(self, name: str) -> "_Spanning":
        """See `Instrumentation`."""
        attributes = {_SYSTEM: "hitherto", "hitherto.command": name}
        return _Spanning(self._tracer, f"command {name}", SpanKind.INTERNAL, attributes)

    def operation(
        self, name: str, aggregate_type: str, aggregate_id: str | None = None
    ) -> "_Operation":
        """See `Instrumentation`."""
        attributes = _attributes(name, current_metadata(), aggregate_type)
        kind = SpanKind.INTERNAL
        if aggregate_id is not None:
            attributes[_AGGREGATE_ID] = aggregate_id
        if name in _SAVES:
            attributes[_OPERATION_TYPE] = "send"
            kind = SpanKind.PRODUCER
        return _Operation(self._tracer, f"{name} {aggregate_type}", kind, attributes)

    def store_call(self, name: str) -> "_Spanning":
        """See `Instrumentation`."""
        attributes = {_SYSTEM: "hitherto", _OPERATION_NAME: name}
        return _Spanning(self._tracer, name, SpanKind.CLIENT, attributes)

    def event_metadata(self) -> Mapping[str, MetadataValue]:
        """See `Instrumentation`."""
        carrier: dict[str, MetadataValue] = {}
        _W3C.inject(carrier)
        return carrier

    def events_saved(self, aggregate_type: str, count: int) -> None:  # noqa: ARG002
        """See `Instrumentation`."""
        _add_to_count(count)

    def events_loaded(self, aggregate_type: str, count: int) -> None:  # noqa: ARG002
        """See `Instrumentation`."""
        _add_to_count(count)

    def snapshot_unusable(self, aggregate_type: str) -> None:  # noqa: ARG002
        """See `Instrumentation`."""
        trace.get_current_span().add_event("snapshot_unusable")

    def call_retried(self, name: str) -> None:  # noqa: ARG002
        """See `Instrumentation`."""
        trace.get_current_span().add_event("call_retried")

    def breaker_changed(self, state: BreakerState) -> None:
        """See `Instrumentation`."""
        trace.get_current_span().add_event(f"breaker_{state.replace('-', '_')}")


class _Spanning:
    """A span around a block, as the current one; it tells with which error the block ended."""

    __slots__ = ("_attributes", "_kind", "_links", "_name", "_token", "_tracer", "span")

    span: Span
    _token: Token[contexts.Context]

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        links: tuple[Link, ...] = (),
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._links = links

    def __enter__(self) -> Span:
        self.span = self._tracer.start_span(
            self._name, kind=self._kind, attributes=self._attributes, links=self._links
        )
        self._token = contexts.attach(trace.set_span_in_context(self.span))
        return self.span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        contexts.detach(self._token)
        if kind is not None and error is not None:
            self.span.set_attribute("error.type", kind.__qualname__)
            self.span.set_status(StatusCode.ERROR, str(error))
            self.span.record_exception(error)
        self.span.end()


class _Operation(_Spanning):
    """Counts the events that are saved or folded within."""

    __slots__ = ("_outer", "count")

    _outer: "Token[_Operation | None]"

    def __enter__(self) -> Span:
        self.count: int | None = None
        self._outer = _current.set(self)
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _current.reset(self._outer)
        if self.count is not None:
            self.span.set_attribute(_COUNT, self.count)
        super().__exit__(kind, error, traceback)


_current: ContextVar[_Operation | None] = ContextVar("hitherto_operation", default=None)


def _add_to_count(count: int) -> None:
    operation = _current.get()
    if operation is not None:
        operation.count = (operation.count or 0) + count


def _attributes(name: str, metadata: Metadata, aggregate_type: str) -> dict[str, str]:
    attributes = {_SYSTEM: "hitherto", _OPERATION_NAME: name, _DESTINATION: aggregate_type}
    if metadata.correlation_id is not None:
        attributes[_CONVERSATION] = metadata.correlation_id
    return attributes


def _links(metadata: Metadata) -> tuple[Link, ...]:
    """To the span whose context was kept with an event; none where that makes no sense."""
    carrier = {key: value for key, value in metadata.extra.items() if isinstance(value, str)}
    extracted = _W3C.extract(carrier, contexts.Context())
    span_context = trace.get_current_span(extracted).get_span_context()
    return (Link(span_context),) if span_context.is_valid else ()
