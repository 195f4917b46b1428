"""Publishers to brokers, as far as they can be tested without one: templates, URLs, options."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.messages import a_message

from hitherto import ConfigurationError, InvalidInput
from hitherto.infrastructure.nats import NatsPublisher
from hitherto.infrastructure.redis import RedisPublisher
from hitherto.infrastructure.routing import routed

PUBLISHERS = [NatsPublisher, RedisPublisher]


def test_a_template_is_filled_in_for_each_message() -> None:
    """Where it goes follows from what it is."""
    route = routed("{aggregate_type}/{aggregate_id}/{event_type}")
    assert route(a_message()) == "Order/order-1/Paid"
    assert routed("events")(a_message()) == "events"


@pytest.mark.parametrize("template", ["", "{actor}", "{}", "{aggregate_type", "{event_type.x}"])
def test_a_template_with_another_placeholder_is_refused(template: str) -> None:
    """When it is made, and not at the first event."""
    for make in (routed, lambda text: NatsPublisher(subject=text)):
        with pytest.raises(InvalidInput, match="placeholders"):
            make(template)
    with pytest.raises(InvalidInput, match="placeholders"):
        RedisPublisher(stream=template)


@pytest.mark.parametrize(
    "subject",
    [
        "my events.{event_type}", "events.{event_type}\n", "events.\t", "events.\0", "events.\x7f",
        "events.*", ">", "ev*nts", "events..{event_type}", ".events", "events.", "events.\ud800",
        "events.{event_type:>9}", "events.{event_type:.0}",
    ],
)  # fmt: skip
def test_a_template_that_makes_no_subject_of_nats_is_refused(subject: str) -> None:
    """At the first event it would be an outage that never ends, or mean many subjects."""
    with pytest.raises(InvalidInput, match="give tokens with a single dot") as refused:
        NatsPublisher(subject=subject)
    assert repr(subject) in str(refused.value)


@pytest.mark.parametrize(
    "subject", ["events", "é-{aggregate_id}.{event_type}_2.$x", "{event_type}"]
)
def test_a_template_that_makes_a_subject_is_taken(subject: str) -> None:
    """Tokens are made of nearly anything."""
    NatsPublisher(subject=subject)


@pytest.mark.parametrize("publisher", PUBLISHERS)
@pytest.mark.parametrize("url", ["", "localhost", "http://localhost:80"])
def test_a_url_of_something_else_is_refused(publisher: Callable[..., Any], url: str) -> None:
    """When it is made, and not at the first event."""
    with pytest.raises(ConfigurationError, match=r"give (nats|redis)://"):
        publisher(url)


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_an_option_that_the_driver_does_not_know_is_refused(publisher: Callable[..., Any]) -> None:
    """At the first event it would be taken for the event's fault."""
    with pytest.raises((ConfigurationError, TypeError)):
        publisher(flavour="vanilla")


@pytest.mark.parametrize(
    ("publisher", "url"),
    [
        (NatsPublisher, "nats://ann:s3cr@t@127.0.0.1:4222"),
        (NatsPublisher, "http://ann:s3cret@127.0.0.1:4222"),
        (RedisPublisher, "redis://ann:s3cr@t@127.0.0.1:6379"),
        (RedisPublisher, "redis://ann:s3cret@127.0.0.1:port"),
    ],
)
def test_what_is_said_of_a_wrong_url_has_no_password(
    publisher: Callable[..., Any], url: str
) -> None:
    """Errors are logged."""
    with pytest.raises(ConfigurationError) as refused:
        publisher(url)
    assert "s3cr" not in str(refused.value)
    assert refused.value.__cause__ is None
