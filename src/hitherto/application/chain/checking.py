"""Whether the stored hashes follow from the stored events."""

from collections.abc import Sequence

from hitherto.application.chain.links import Link, content_hash, event_hash
from hitherto.application.findings import Kind, Tally
from hitherto.application.ports import Chain
from hitherto.application.ports.erasures import Erasure
from hitherto.application.refolding import Progress
from hitherto.application.selection import PAGE
from hitherto.errors import EventSerializationFailed


class Chains:
    """Goes along the chains of all aggregates, one after the other.

    Attributes:
        tally: What is wrong.
        chained: How many events have hashes.
        unchained: How many have none, though they were stored after the first one that has.

    Args:
        erasures: What the content of some events was replaced with, the oldest first.
    """

    def __init__(self, erasures: Sequence[Erasure] = ()) -> None:
        self._erased = {each.event_id: (each.data, each.metadata) for each in erasures}
        self.tally: Tally = Tally()
        self.chained: int = 0
        self.unchained: int = 0
        self._first = 0
        self._before: Link | None = None

    async def check(self, chain: Chain, progress: Progress) -> None:
        """All events; nothing is read where none has a hash."""
        first = await chain.first()
        if first is None:
            return
        self._first = first
        after, done = ("", 0), 0
        while page := await chain.links(after=after, limit=PAGE):
            for link in page:
                self._check(link)
            after = (page[-1].event.aggregate_id, page[-1].event.version)
            done += len(page)
            progress("chains", done, None)

    def _check(self, link: Link) -> None:
        """An event; the one before it of its aggregate was checked just before."""
        before, self._before = self._before, link
        event = link.event
        if before is not None and before.event.aggregate_id != event.aggregate_id:
            before = None
        if link.content_hash is None and link.event_hash is None:
            self.unchained += event.position > self._first
            if before is not None and before.event_hash is not None:
                self._add("chain-broken", link, "it has no hash, though the one before has")
            return
        self.chained += 1
        if link.content_hash is None or link.event_hash is None:
            self._add("chain-broken", link, "one of its two hashes is missing")
            return
        told = self._erased.get(event.event_id)
        if (event.data, event.metadata) != told and link.content_hash != _content_of(link):
            self._add("hash-mismatch", link)
        previous = None
        if before is not None and before.event.version == event.version - 1:
            previous = before.event_hash
        own = event_hash(previous, link.content_hash, event.position, event.stored_at)
        if own != link.event_hash:
            self._add("chain-broken", link, "its hash does not follow from the one before")

    def _add(self, kind: Kind, link: Link, detail: str = "") -> None:
        event = link.event
        self.tally.add(kind, event.aggregate_id, event.version, event.position, detail)


def _content_of(link: Link) -> bytes:
    event = link.event
    try:
        return content_hash(event, event.aggregate_id, event.aggregate_type, event.version)
    except EventSerializationFailed:
        return b""
