"""The server under test: PostgreSQL 18, durable, set up the same for every contender."""

import contextlib
import itertools
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.servers import PostgresCluster, start_cluster

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",  # the harness asks for one before each round
    "wal_compression": "off",
    "random_page_cost": "1.1",
}
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")

_SETTLED = 0.02  # seconds
_TIMING = re.compile(r"^Time: ([\d.]+) ms", re.MULTILINE)


class _Attached(PostgresCluster):
    """A cluster that another process started: its programs can be run, and no more."""

    def __init__(self, bin_dir: Path, directory: Path, port: int, identity: dict[str, object]):
        self.bin_dir, self.directory, self.port = bin_dir, directory, port
        self._identity = identity


@dataclass(frozen=True, slots=True)
class Server:
    """The server, as the process of a contender knows it.

    Attributes:
        cluster_dir: The server's files.
        bin_dir: Its programs.
        port: On 127.0.0.1; every contender goes there by TCP.
        version: Such as "18.1".
        identity: Whom to run its programs as.
    """

    cluster_dir: Path
    bin_dir: Path
    port: int
    version: str
    identity: dict[str, object] = field(repr=False)

    @property
    def url(self) -> str:
        """How to connect, as its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs as the server's user; returns what it printed."""
        attached = _Attached(self.bin_dir, self.cluster_dir, self.port, self.identity)
        return attached.run(program, *arguments)

    def psql(self, *commands: str) -> str:
        """Run commands; returns the values alone, tab-separated."""
        arguments = [word for command in commands for word in ("-c", command)]
        return self.run(
            "psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url, *arguments
        ).strip()

    def timed(self, command: str) -> float:
        """How many seconds psql itself says that a command took, connecting left out."""
        found = _TIMING.findall(self.psql(r"\timing on", command))
        return float(found[-1]) / 1000

    def setting(self, name: str) -> str:
        """The value of a setting."""
        return self.psql(f"SHOW {name}")

    def cpu(self) -> float:
        """The CPU seconds of all its processes so far, those that have ended included."""
        time.sleep(_SETTLED)  # a session that was closed just now is still ending
        postmaster = psutil.Process(self._pid())
        while True:
            own = postmaster.cpu_times()
            total = own.user + own.system + own.children_user + own.children_system
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in postmaster.children():
                    times = child.cpu_times()
                    total += times.user + times.system
                if postmaster.cpu_times()[2:4] == own[2:4]:  # none was counted out meanwhile
                    return float(total)

    def _pid(self) -> int:
        return int((self.cluster_dir / "data/postmaster.pid").read_text().split()[0])


@contextmanager
def running() -> Generator[Server]:
    """A new, empty server, which goes without a trace."""
    cluster = start_cluster(durable=True)
    try:
        with (cluster.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        cluster.restart()
        yield Server(
            cluster.directory, cluster.bin_dir, cluster.port, cluster.version, cluster._identity
        )
    finally:
        cluster.stop()


def durability(server: Server) -> dict[str, str]:
    """The settings that decide whether an acknowledged append survives a crash."""
    return {name: server.setting(name) for name in (*DURABILITY, *SETTINGS)}


_numbers = itertools.count(1)


def new_schema(prefix: str) -> str:
    """The name of a schema that no other process takes."""
    return f"{prefix}_{psutil.Process().pid}_{next(_numbers)}"
