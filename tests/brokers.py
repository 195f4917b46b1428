"""Real message brokers for tests: a NATS and a Redis server, gone without a trace."""

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from tests.servers import free_port

# Ends the server when its input ends: on stop(), or when the tests die.
_KEEPER = '"$@" & read -r _; kill -9 $! 2>/dev/null; wait'
_REMOVER = 'read -r _; rm -rf "$1"'


class Broker:
    """A server on a free port of 127.0.0.1, with files of its own that outlive its crashes.

    Attributes:
        port: Where it listens, each time that it is started.
        url: How to reach it.
    """

    scheme = ""
    package = ""
    program = ""

    def __init__(self) -> None:
        found = shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None:
            pytest.skip(f"{self.program} is not installed: apt install {self.package}")
        self.directory = Path(tempfile.mkdtemp(prefix=f"hitherto-{self.program}-", dir="/tmp"))
        self.port = free_port()
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self._program = found
        self._keeper: subprocess.Popen[bytes] | None = None
        self._remover = _keep(_REMOVER, str(self.directory))
        atexit.register(self.stop)
        self.start()

    def start(self) -> None:
        """Start it, on the port and with the files that it had before."""
        self._keeper = _keep(_KEEPER, self._program, *self.arguments(), log=self.directory / "log")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.answers():
                    return
            time.sleep(0.025)
        told = (self.directory / "log").read_text()
        self.stop()
        raise RuntimeError(f"{self.program} did not start:\n{told}")

    def arguments(self) -> Sequence[str]:
        """What it is started with."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it serves."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once, as by ``kill -9``; `start` it again."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.communicate()

    def suspend(self) -> None:
        """Freeze it, as by ``kill -STOP``: it keeps its connections, and answers to nothing."""
        self._server.suspend()
        threads = Path(f"/proc/{self._server.pid}/task")
        while any("\tT (" not in (each / "status").read_text() for each in threads.iterdir()):
            time.sleep(0.001)  # each stops when it comes to it

    def resume(self) -> None:
        """Let it go on."""
        self._server.resume()

    def stop(self) -> None:
        """End it and remove its files. Doing it again does nothing."""
        atexit.unregister(self.stop)
        self.kill()
        self._remover.communicate()

    @property
    def _server(self) -> psutil.Process:
        assert self._keeper is not None
        (server,) = psutil.Process(self._keeper.pid).children()
        return server

    def _answer(self, question: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            if question:
                connection.sendall(question)
            return connection.recv(4096)


class NatsServer(Broker):
    """NATS with JetStream, whose messages outlive the server, though not a loss of power.

    Args:
        settings: Further lines of its configuration.
    """

    scheme = "nats"
    package = "nats-server"
    program = "nats-server"

    def __init__(self, settings: str = "") -> None:
        self._settings = settings
        super().__init__()

    def arguments(self) -> Sequence[str]:
        """See `Broker`."""
        config = self.directory / "config"
        config.write_text(
            f"listen: '127.0.0.1:{self.port}'\n"
            f"jetstream {{ store_dir: '{self.directory}/jetstream' }}\n"
            f"max_payload: 100000\n{self._settings}\n"
        )
        return ["--config", str(config)]

    def answers(self) -> bool:
        """See `Broker`."""
        return self._answer(b"").startswith(b"INFO") and "ready" in (
            self.directory / "log"
        ).read_text(errors="replace")


class RedisServer(Broker):
    """Redis that writes each command to the disk before it answers."""

    scheme = "redis"
    package = "redis-server"
    program = "redis-server"

    def arguments(self) -> Sequence[str]:
        """See `Broker`."""
        return [
            "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip

    def cli(self, *command: str) -> str:
        """Run a command; returns what it prints."""
        question = "".join(f"${len(each.encode())}\r\n{each}\r\n" for each in command)
        return self._answer(f"*{len(command)}\r\n{question}".encode()).decode()

    def answers(self) -> bool:
        """See `Broker`."""
        return self._answer(b"PING\r\n").startswith(b"+PONG")


def _keep(script: str, *arguments: str, log: Path | None = None) -> "subprocess.Popen[bytes]":
    output = subprocess.DEVNULL if log is None else log.open("wb")
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    finally:
        if not isinstance(output, int):
            output.close()
