"""A process for each contender, so that none disturbs another and one that stalls can be ended."""

import gc
import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from benchmarks.server import Server

T = TypeVar("T")

_CONTEXT = multiprocessing.get_context("spawn")


class Stalled(Exception):
    """A measurement did not end in its time."""


class Worker:
    """Runs one contender's measurements in a process of its own.

    Args:
        make: Makes the contender, there.
        server: Handed to it.
    """

    def __init__(self, make: Callable[[Server], Any], server: Server) -> None:
        self.make = make
        self._server = server
        self._process: Any = None
        self._pipe: Any = None

    def call(self, measure: Callable[..., T], *arguments: Any, timeout: float) -> T:
        """Run ``measure(contender, *arguments)`` there.

        Raises:
            Stalled: It took longer than `timeout` seconds; its process is ended.
            RuntimeError: It raised.
        """
        if self._process is None:
            self._start()
        self._pipe.send((measure, arguments))
        if not self._pipe.poll(timeout):
            self.stop()
            raise Stalled(f"stopped after {timeout:.0f} s")
        try:
            result, problem = self._pipe.recv()
        except EOFError:
            self.stop()
            problem = "its process died"
        if problem is not None:
            raise RuntimeError(problem)
        found: T = result
        return found

    def stop(self) -> None:
        """End the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_serve, args=(theirs, self.make, self._server), daemon=True
        )
        self._process.start()
        theirs.close()


def _serve(pipe: Connection, make: Callable[[Server], Any], server: Server) -> None:
    """Measure what is asked for until the pipe is closed."""
    contender = make(server)
    answer: tuple[Any, str | None]
    while True:
        try:
            measure, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            gc.collect()
            answer = measure(contender, *arguments), None
        except Exception:  # noqa: BLE001  # told to the harness, which goes on
            answer = None, traceback.format_exc()
        pipe.send(answer)
