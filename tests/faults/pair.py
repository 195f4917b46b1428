"""Two PostgreSQL servers that take turns as primary and synchronous standby."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from tests.servers import PostgresCluster, start_cluster, start_standby

_PATIENCE = 30.0  # seconds
_WAITS = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
_RELOAD = "SELECT pg_reload_conf()"
_CONFIRMED = "SELECT pg_logical_emit_message(true, 'tests', '')"


class Pair:
    """The primary acknowledges nothing before the standby has it; make one with `start`.

    Attributes:
        primary: The server that can be written.
        standby: The other one; after a failover, the old primary, which is down.
    """

    def __init__(self, primary: PostgresCluster, standby: PostgresCluster) -> None:
        self.primary = primary
        self.standby = standby

    @classmethod
    def start(cls) -> Self:
        """Both servers, in step."""
        primary = start_cluster(durable=True)
        try:
            # So that the old primary finds what it needs to be rewound.
            primary.psql("ALTER SYSTEM SET wal_keep_size = '192MB'", _RELOAD)
            pair = cls(primary, start_standby(primary))
        except BaseException:
            primary.stop()
            raise
        pair.wait_for_standby()
        return pair

    def stop(self) -> None:
        """Stop both, and remove their files."""
        self.standby.stop()
        self.primary.stop()

    @property
    def url(self) -> str:
        """Both hosts, as a user would name them."""
        ports = (self.primary.port, self.standby.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://postgres@{hosts}/postgres"

    def fail_over(self, *, waiting: bool) -> None:
        """Kill the primary, and promote the standby.

        Args:
            waiting: Whether the new primary acknowledges nothing before it has a standby again.
        """
        self.standby.psql(_WAITS.format("*" if waiting else ""), _RELOAD)
        self.primary.kill()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rebuild(self, *, rewind: bool) -> None:
        """The old primary, which is down, becomes the standby."""
        self.standby.follow(self.primary, rewind=rewind)
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Let the primary wait for its standby from now on, until this has all that it has."""
        self.primary.psql(_WAITS.format("*"), _RELOAD)
        end = time.monotonic() + _PATIENCE
        while self.primary.psql("SELECT sync_state FROM pg_stat_replication") != "sync":
            if time.monotonic() > end:
                raise TimeoutError("the standby is not in step")
            time.sleep(0.02)
        self.primary.psql(_CONFIRMED)

    @contextmanager
    def standby_away(self) -> Iterator[None]:
        """The standby takes nothing from the primary meanwhile."""
        receiver = int(self.standby.psql("SELECT pid FROM pg_stat_wal_receiver"))
        os.kill(receiver, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(receiver, signal.SIGCONT)
