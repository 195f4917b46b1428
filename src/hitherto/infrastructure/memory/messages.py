"""`Messages`: which messages were handled, and the timers that were set, beside appends."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from hitherto.application.alongside import FORGOTTEN, Alongside, Timer
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import utc
from hitherto.infrastructure.checkpoints import already_fired, already_handled


class Messages:
    """What appends write besides events."""

    def __init__(self) -> None:
        self._handled: dict[tuple[str, str], datetime] = {}
        self._timers: dict[tuple[str, str, str], Timer] = {}

    def texts(self) -> Iterator[tuple[TextPlace, str]]:
        """All of it as text, with its place."""
        for scope, key in self._handled:
            yield TextPlace(table="handled_messages", name=scope, key=key), key
        for process, aggregate_id, name in self._timers:
            place = TextPlace(table="process_timers", name=process, key=name)
            yield place, f"{aggregate_id} {name}"

    def check(self, alongside: Alongside) -> None:
        """Refuse what was handled before."""
        for key in alongside.handled:
            if (alongside.scope, key) in self._handled:
                raise already_handled(alongside.scope, key)
        for timer in alongside.fired:
            standing = self._timers.get((timer.process, timer.aggregate_id, timer.name))
            if standing is None or standing.due != timer.due:
                raise already_fired(timer)

    def write(self, alongside: Alongside) -> None:
        """Mark the messages as handled, set and cancel the timers."""
        now = datetime.now(UTC)
        self._handled.update({(alongside.scope, key): now for key in alongside.handled})
        for timer in alongside.fired:
            del self._timers[timer.process, timer.aggregate_id, timer.name]
        for timer in alongside.timers:
            place = (timer.process, timer.aggregate_id, timer.name)
            self._timers.pop(place, None)
            if timer.due is not None:
                self._timers[place] = replace(timer, due=utc(timer.due))

    def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        return {key for key in keys if (scope, key) in self._handled}

    def forget_handled(self, scope: str, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        old = [mark for mark, at in self._handled.items() if mark[0] == scope and at < before]
        del old[FORGOTTEN:]
        for mark in old:
            del self._handled[mark]
        return len(old)

    def due_timers(self, process: str, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        due = [
            (each.due, each.aggregate_id, each.name, each)
            for each in self._timers.values()
            if each.process == process and each.due is not None and each.due <= until
        ]
        return [each for *_, each in sorted(due)[:limit]]
