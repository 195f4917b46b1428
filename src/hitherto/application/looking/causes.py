"""Why an event is there, and what came of it: the tree of causes that metadata tell."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

import msgspec

from hitherto.application.looking.searching import matching
from hitherto.application.looking.values import Wanted, text_in
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.errors import InvalidInput

_DEEPEST = 200  # for a tree is built, told and written step by step


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, and what came of it.

    Attributes:
        id: The event's id; or what stands as causation id where that is no event's: the id of a
            command or of a message from elsewhere, or ``timer:…`` for a timer of a process.
        event: The event.
        effects: In the order of the log.
    """

    id: str
    event: StoredEvent | None
    effects: Sequence["Cause"]


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the causes of an event.

    Attributes:
        asked: The event.
        root: Where it all began, as far as it is told; the event is somewhere below.
        correlation_id: The event's.
        correlated: Other events with this correlation id, which are not in the tree.
        stops: Where more may be, in sentences.
    """

    asked: StoredEvent
    root: Cause
    correlation_id: str | None
    correlated: Sequence[StoredEvent]
    stops: Sequence[str]


async def why(backend: Backend, event_id: UUID, *, depth: int = 50, limit: int = 200) -> Why:
    """The tree of causes in which an event stands.

    Where no index tells of correlation and causation ids, the store looks through the whole log a
    few times.

    Args:
        backend: The store's.
        event_id: The event's.
        depth: How many steps to go, up from it and down from the root.
        limit: The most events in the tree, and of the others with its correlation id.

    Raises:
        InvalidInput: There is no such event, or a bound is below 1.
        EventStoreUnavailable: The store cannot be reached.
    """
    if not 1 <= depth <= _DEEPEST:
        raise InvalidInput(f"depth={depth}: give 1 … {_DEEPEST}")
    if not 1 <= limit <= 100_000:
        raise InvalidInput(f"limit={limit}: give 1 … 100000")
    asked = await backend.looking.event(event_id)
    if asked is None:
        raise InvalidInput(
            f"no event has the id {event_id}: `hitherto log` and `hitherto events` tell their ids"
        )
    return await _Search(backend, asked, depth, limit).why()


class _Search:
    def __init__(self, backend: Backend, asked: StoredEvent, depth: int, limit: int) -> None:
        self._backend = backend
        self._asked = asked
        self._depth = depth
        self._limit = limit
        self._tree: dict[str, StoredEvent] = {}
        self._pool: Sequence[StoredEvent] = ()
        self._looked_below: set[str] = set()
        self._stops: dict[str, None] = {}

    async def why(self) -> Why:
        root = await self._climb()
        correlation_id = text_in(self._asked, "correlation_id")
        if correlation_id:
            self._pool = await self._found(Wanted(correlation_id=correlation_id))
        ancestors = list(self._tree)
        await self._descend([_key(self._asked)])
        await self._descend([root, *ancestors])
        tree = self._grown(root)
        others = [each for each in self._pool if _key(each) not in self._tree]
        if len(self._pool) > self._limit:
            self._stop(f"more than {self._limit} events have this correlation id")
        return Why(
            asked=self._asked,
            root=tree,
            correlation_id=correlation_id,
            correlated=others[: self._limit],
            stops=list(self._stops),
        )

    async def _climb(self) -> str:
        """Take up what led to the event; the id of the root."""
        event = self._asked
        for _ in range(self._depth):
            self._tree[_key(event)] = event
            cause = _cause_of(event)
            if cause is None:
                return _key(event)
            if cause in self._tree:
                self._stop(f"the causes go in a circle, by event {cause}")
                return _key(event)
            parent = await self._event(cause)
            if parent is None:
                return cause
            event = parent
        self._tree[_key(event)] = event
        if _cause_of(event) is not None:
            self._stop(f"event {_key(event)} has a cause, more than {self._depth} steps up")
        return _key(event)

    async def _event(self, text: str) -> StoredEvent | None:
        try:
            return await self._backend.looking.event(UUID(text))
        except ValueError:
            return None

    async def _descend(self, causes: Sequence[str]) -> None:
        """Take up all that came of these: what has the same correlation id needs no search."""
        for _ in range(self._depth):
            causes = [*causes, *self._take(_below(causes, self._pool))]
            causes = [each for each in causes if each not in self._looked_below]
            if not causes:
                return
            if len(self._tree) >= self._limit:
                self._stop(f"the tree may have more than {self._limit} events")
                return
            self._looked_below.update(causes)
            causes = self._take(await self._found(Wanted(causation_ids=causes)))
        if causes:
            self._stop(f"what came of these events may go on, more than {self._depth} steps down")

    def _take(self, events: Iterable[StoredEvent]) -> list[str]:
        """Put into the tree those that are not there; their ids."""
        fresh = [each for each in events if _key(each) not in self._tree]
        fresh = fresh[: max(self._limit - len(self._tree), 0)]
        self._tree.update({_key(each): each for each in fresh})
        return [_key(each) for each in fresh]

    async def _found(self, wanted: Wanted) -> Sequence[StoredEvent]:
        found: list[StoredEvent] = []
        async with aclosing(matching(self._backend, wanted, limit=self._limit + 1)) as pages:
            async for page in pages:
                found.extend(page.events)
        return found

    def _grown(self, root: str) -> Cause:
        by_cause: dict[str, list[StoredEvent]] = {}
        for event in sorted(self._tree.values(), key=lambda each: each.position):
            cause = _cause_of(event)
            if cause is not None and _key(event) != root:
                by_cause.setdefault(cause, []).append(event)
        return self._branch(root, self._tree.get(root), by_cause, 0)

    def _branch(
        self,
        id: str,
        event: StoredEvent | None,
        by_cause: Mapping[str, Sequence[StoredEvent]],
        depth: int,
    ) -> Cause:
        below = by_cause.get(id, ())
        if below and depth == self._depth:
            self._stop(f"what came of event {id} is more than {self._depth} steps down")
            below = ()
        effects = [self._branch(_key(each), each, by_cause, depth + 1) for each in below]
        return Cause(id=id, event=event, effects=effects)

    def _stop(self, sentence: str) -> None:
        self._stops[sentence] = None


def _below(causes: Iterable[str], pool: Iterable[StoredEvent]) -> list[StoredEvent]:
    """What came of these, directly or not, among some events."""
    by_cause: dict[str, list[StoredEvent]] = {}
    for event in pool:
        by_cause.setdefault(_cause_of(event) or "", []).append(event)
    found: list[StoredEvent] = []
    open_ = list(causes)
    while open_:
        effects = by_cause.pop(open_.pop(), [])
        found.extend(effects)
        open_.extend(map(_key, effects))
    return found


def _key(event: StoredEvent) -> str:
    return str(event.event_id)


def _cause_of(event: StoredEvent) -> str | None:
    """Its causation id; that of an event as this is usually written."""
    text = text_in(event, "causation_id")
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return text
