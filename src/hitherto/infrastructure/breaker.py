"""`Breaker`: a circuit breaker, which fails fast while the store is out."""

import time
from collections.abc import Callable

from hitherto.application.health import BreakerState
from hitherto.errors import EventStoreUnavailable


class Breaker:
    """Refuses calls for a while after some have failed in a row, then lets one through to see.

    The pattern is Michael Nygard's ("Release It!", 2007). Time is monotonic: a clock that is set
    back does not keep it open.

    Args:
        threshold: How many failures in a row open it.
        cooldown: Seconds until one call is let through.
        changed: Told each new state.
    """

    def __init__(
        self, threshold: int, cooldown: float, changed: Callable[[BreakerState], None]
    ) -> None:
        self._threshold = threshold
        self._cooldown = cooldown
        self._changed = changed
        self._state: BreakerState = "closed"
        self._failures = 0
        self._seen = 0.0  # when a call last failed, or was let through to see

    @property
    def state(self) -> BreakerState:
        """Where it stands; half-open as soon as it would let a call through."""
        return "half-open" if self._state == "open" and not self.retry_after else self._state

    @property
    def failures(self) -> int:
        """How many calls in a row have failed."""
        return self._failures

    @property
    def retry_after(self) -> float:
        """Seconds until a call is let through; 0 if one would be now."""
        if self._state == "closed":
            return 0.0
        return max(0.0, self._seen + self._cooldown - time.monotonic())

    def admit(self) -> None:
        """Let a call through: when it is open, one for each cooldown, to see.

        Raises:
            EventStoreUnavailable: None is let through now.
        """
        if self._state == "closed":
            return
        if self.retry_after:
            raise EventStoreUnavailable(
                f"{self._failures} operations in a row have failed: the circuit breaker lets none "
                f"through for another {self.retry_after:.1f} s",
                retry_after=self.retry_after,
            )
        self._seen = time.monotonic()
        self._enter("half-open")

    def succeeded(self) -> None:
        """A call was answered, whatever the answer."""
        self._failures = 0
        if self._state != "closed":
            self._enter("closed")

    def failed(self) -> None:
        """The store did not answer a call."""
        self._failures += 1
        if self._state == "half-open" or (
            self._state == "closed" and self._failures >= self._threshold
        ):
            self._seen = time.monotonic()
            self._enter("open")

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._changed(state)
