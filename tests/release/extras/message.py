"""A message for brokers, and one that is out."""

from datetime import UTC, datetime

from hitherto import Message, Metadata, Publisher, PublisherUnavailable

MESSAGE = Message(
    id="1",
    source="/shop",
    event_type="Counted",
    schema_version=1,
    aggregate_id="counter-1",
    aggregate_type="Counter",
    version=1,
    position=1,
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    data="{}",
    metadata=Metadata(),
)


async def publish_to_nobody(publisher: Publisher) -> None:
    """The client speaks, and tells that nothing answers."""
    try:
        await publisher.publish([MESSAGE])
    except PublisherUnavailable:
        return
    raise AssertionError("somebody answered")
