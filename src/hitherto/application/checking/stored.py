"""What a store holds, read by today's code: the shapes of its events, and which of them break."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from hitherto.application.checking.problems import Problem
from hitherto.application.checking.schemas import Schemas
from hitherto.application.checking.tallying import Shape, Tally
from hitherto.application.ports import Backend, Codec
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import Progress, in_silence
from hitherto.application.selection import PAGE
from hitherto.domain.definition import Definition
from hitherto.errors import InvalidInput

_PARTS = 20  # of the log, from each of which a sample takes events


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        events: How many were read.
        shapes: Their shapes, by type and schema.
        problems: What breaks.
    """

    events: int
    shapes: tuple[Shape, ...]
    problems: tuple[Problem, ...]

    def counted(self, problem: Problem) -> Problem:
        """A problem of the schema file, with the number of stored events that it is about."""
        if not problem.aggregate_type:
            return problem
        about = [each for each in self.shapes if _is_about(problem, each)]
        return msgspec.structs.replace(
            problem,
            events=sum(each.events for each in about),
            undecodable=sum(each.undecodable for each in about),
        )


def _is_about(problem: Problem, shape: Shape) -> bool:
    return (
        problem.aggregate_type == shape.aggregate_type
        and problem.event_type in {None, shape.event_type}
        and problem.schema in {None, shape.schema}
    )


async def stored_shapes(
    backend: Backend,
    codec: Codec,
    definitions: Mapping[str, Definition],
    known: Schemas,
    *,
    sample: int | None = None,
    progress: Progress = in_silence,
) -> Stored:
    """Read what is stored, decode each event, and tell what today's code makes of it.

    Nothing is changed. It may run while the store is in use; it reads as far as the log reached at
    the start.

    Args:
        backend: The store.
        codec: Its codec.
        definitions: The kinds of aggregate, by stored name.
        known: What the schema file knows.
        sample: How many events of each type, and of each type of aggregate, to read, from all parts
            of the log, the first ones among them; all events if left out.
        progress: Told of each step.

    Raises:
        EventStoreUnavailable: The store cannot be reached.
        InvalidInput: `sample` is below 1.
        ConfigurationError: An event class cannot be decoded.
    """
    if sample is not None and sample < 1:
        raise InvalidInput(f"sample={sample}: give at least 1, or leave it out")
    tally = Tally(codec, definitions, known)
    pages = _whole(backend, progress)
    if sample is not None:
        pages = _drawn(backend, sample, progress)
    async for page in pages:
        for event in page:
            tally.take(event)
    return Stored(events=tally.events, shapes=tally.shapes(), problems=tally.problems())


async def _whole(backend: Backend, progress: Progress) -> AsyncIterator[Sequence[StoredEvent]]:
    end, after = await backend.watermark(), 0
    while after < end:
        page = await backend.read_all(after=after, limit=PAGE)
        yield [event for event in page.events if event.position <= end]
        after = page.checkpoint
        progress("events", min(after, end), end)


async def _drawn(
    backend: Backend, sample: int, progress: Progress
) -> AsyncIterator[Sequence[StoredEvent]]:
    """Events of each type, and of each type of aggregate, from all parts of the log."""
    end = await backend.watermark()
    parts = min(_PARTS, sample)
    starts = [end * part // parts for part in range(parts)]
    names = await backend.looking.names()
    filters = [{"event_types": [each]} for each in names.event_types]
    filters += [{"aggregate_types": [each]} for each in names.aggregate_types]
    seen = set[int]()
    for number, filter_ in enumerate(filters, 1):
        wanted = sample
        for part, start in enumerate([*starts, 0]):  # In the end what the first part has left.
            share = wanted if part == parts else max(1, wanted // (parts - part))
            if wanted:
                fresh = await _unseen(backend, start, share, filter_, seen)
                wanted -= len(fresh)
                yield fresh
        progress("types", number, len(filters))


async def _unseen(
    backend: Backend, after: int, count: int, filter_: Mapping[str, list[str]], seen: set[int]
) -> list[StoredEvent]:
    """The first events after a position that were not read yet, so many of them."""
    found: list[StoredEvent] = []
    limit = min(count, PAGE)
    while len(found) < count:
        page = await backend.read_all(after=after, limit=limit, **filter_)
        if not page.events:
            break
        fresh = [each for each in page.events if each.position not in seen]
        found += fresh[: count - len(found)]
        after, limit = page.checkpoint, min(2 * limit, PAGE)
    seen.update(each.position for each in found)
    return found
