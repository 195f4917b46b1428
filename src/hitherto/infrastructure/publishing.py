"""`Guarded`: a publisher that fails fast while its broker is out."""

import logging
from collections.abc import Sequence

from hitherto.application.health import BreakerState
from hitherto.application.logging import log_event
from hitherto.application.relay import Message, Publisher
from hitherto.errors import EventStoreUnavailable, InvalidInput, PublisherUnavailable
from hitherto.infrastructure.breaker import Breaker
from hitherto.infrastructure.deadline import Deadline


class Guarded:
    """Decorates a publisher with a deadline and a circuit breaker.

    When the broker has not answered several times in a row, it is left alone for a while: until
    then publishing fails at once. A message that the broker refuses is an answer. Publishing is
    not retried here; a relay's worker does that, with growing pauses.

    Args:
        publisher: What does the work.
        timeout: Seconds that publishing a batch may take. A batch that takes longer is published
            again from its first message, so give it ample time.
        threshold: How many failures in a row open the breaker.
        cooldown: Seconds until it lets one batch through, to see.
        logger: Is told of the breaker's states.

    Raises:
        InvalidInput: A setting that makes no sense.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        timeout: float = 30.0,
        threshold: int = 5,
        cooldown: float = 5.0,
        logger: logging.Logger | None = None,
    ) -> None:
        if timeout <= 0 or threshold < 1 or cooldown < 0:
            raise InvalidInput(
                f"timeout={timeout}, threshold={threshold}, cooldown={cooldown}: give seconds "
                "above 0, at least 1, and seconds"
            )
        self.publisher = publisher
        self._deadline = Deadline(timeout)
        self._breaker = Breaker(threshold, cooldown, self._changed)
        self._logger = logger or logging.getLogger("hitherto")

    @property
    def breaker(self) -> BreakerState:
        """The state of the circuit breaker."""
        return self._breaker.state

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher.publish`."""
        try:
            self._breaker.admit()
        except EventStoreUnavailable as error:
            raise PublisherUnavailable(str(error), retry_after=error.retry_after) from None
        try:
            await self._deadline.run(self.publisher.publish(messages))
        except TimeoutError as error:
            self._breaker.failed()
            raise PublisherUnavailable(
                f"{len(messages)} messages were not taken within {self._deadline.seconds:g} s"
            ) from error
        except PublisherUnavailable:
            self._breaker.failed()
            raise
        except Exception:
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()

    def _changed(self, state: BreakerState) -> None:
        log_event(
            self._logger,
            logging.WARNING if state == "open" else logging.INFO,
            "publisher_breaker_" + state.replace("-", "_"),
            failures=self._breaker.failures,
            retry_after=round(self._breaker.retry_after, 3),
        )
