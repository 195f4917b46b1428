"""The processes that fold: started, asked, and ended whatever happens."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import msgspec

from hitherto.application.folding import Moment, Outcome
from hitherto.cli.replay_diff.messages import (
    ALIVE,
    ANSWER,
    HEAD,
    Import,
    Kinds,
    Moments,
    Open,
    Outcomes,
    Request,
    Traces,
)
from hitherto.cli.replay_diff.revisions import Code
from hitherto.errors import ConfigurationError, EventStoreError, HithertoError

T = TypeVar("T")

_FAREWELL = 5.0  # seconds to close the store in
_COMMAND = (sys.executable, "-P", "-m", "hitherto.cli.replay_diff.worker")
# So that sets of texts are gone through in one order by both versions.
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}


class WorkerLost(HithertoError):
    """A process that folds has died, or does not get on."""


class Worker:
    """A process that folds with one version of the code.

    Args:
        process: It.
        code: What it is to import.
        timeout: Seconds without a sign of life after which it counts as hanging.
    """

    def __init__(self, process: Process, code: Code, timeout: float) -> None:
        self._process = process
        self._code = code
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._is_idle = True

    async def load(self) -> Kinds:
        """Have it import the code.

        Raises:
            ConfigurationError: It cannot be imported, or has no aggregate.
            WorkerLost: The process died, or hangs.
        """
        doing = "while it imported the module"
        return await self._ask(Import(self._code), Kinds, doing, ConfigurationError)

    async def open(self, request: Open) -> None:
        """Have it open the store.

        Raises:
            EventStoreError: It cannot be.
            WorkerLost: The process died, or hangs.
        """
        await self._ask(request, type(None), "while it opened the store")

    async def fold(self, request: Outcomes | Traces | Moments, answer: type[T]) -> T:
        """Have it fold aggregates.

        Raises:
            EventStoreError: They cannot be read.
            WorkerLost: The process died, or hangs.
        """
        match request:
            case Moments(_, places):
                ids = [each for each, _ in places]
            case Outcomes(_, ids) | Traces(_, ids):
                pass
        doing = f"at one of {len(ids)} aggregates, {ids[0]!r} … {ids[-1]!r}: try some with --id"
        return await self._ask(request, answer, doing)

    async def end(self) -> None:
        """Let it close the store; end it if it does not. It is gone then."""
        writer = self._process.stdin
        try:
            if writer is not None and self._is_idle:  # Else it is at work, for nobody.
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(_FAREWELL):
                        writer.write(bytes(HEAD))
                        await writer.drain()
                        await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def _ask(
        self,
        request: Request,
        answer: type[T],
        doing: str,
        refusal: type[HithertoError] = EventStoreError,
    ) -> T:
        async with self._turn:
            self._is_idle = False
            try:
                await self._write(msgspec.json.encode(request))
                while (frame := await self._read())[:1] == ALIVE:
                    pass
            except TimeoutError:
                raise self._lost(f"has not got on for {self._timeout:g} s", doing) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                raise self._lost(f"has ended, {await self._ending()},", doing) from None
        self._is_idle = True
        text = frame[1:]
        if frame[:1] != ANSWER:
            raise refusal(msgspec.json.decode(text))
        return msgspec.json.decode(text or b"null", type=answer)

    async def _write(self, body: bytes) -> None:
        writer = self._process.stdin
        assert writer is not None  # noqa: S101  # It was started with a pipe.
        writer.write(len(body).to_bytes(HEAD, "big") + body)
        async with asyncio.timeout(self._timeout):
            await writer.drain()

    async def _read(self) -> bytes:
        reader = self._process.stdout
        assert reader is not None  # noqa: S101
        async with asyncio.timeout(self._timeout):
            size = int.from_bytes(await reader.readexactly(HEAD), "big")
            return await reader.readexactly(size)

    async def _ending(self) -> str:
        """How it ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._process.wait()
        status = self._process.returncode
        if status is None:
            return "though it still runs"
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"

    def _lost(self, what: str, doing: str) -> WorkerLost:
        return WorkerLost(f"the process that folds with {self._code.label} {what} {doing}")


class WorkerSide:
    """One kind of aggregate, folded by a process; see `Side`."""

    def __init__(self, worker: Worker, aggregate_type: str) -> None:
        self._worker = worker
        self._type = aggregate_type

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Outcome]:
        """See `Folding.outcomes`."""
        return await self._worker.fold(Outcomes(self._type, list(ids)), list[Outcome])

    async def traces(self, ids: Sequence[str]) -> Sequence[Sequence[bytes]]:
        """See `Folding.traces`."""
        return await self._worker.fold(Traces(self._type, list(ids)), list[list[bytes]])

    async def moments(self, places: Sequence[tuple[str, int]]) -> Sequence[Moment]:
        """See `Folding.moments`."""
        return await self._worker.fold(Moments(self._type, list(places)), list[Moment])


@asynccontextmanager
async def workers(codes: Sequence[Code], timeout: float) -> AsyncGenerator[list[Worker]]:  # noqa: ASYNC109
    """A process for each of the versions; all have ended when the block has.

    Args:
        codes: The versions, each as often as it is to have processes.
        timeout: See `Worker`.
    """
    started: list[Worker] = []
    environment: dict[str, Any] = {**os.environ, **_ENVIRONMENT}
    try:
        for code in codes:
            # In a group of its own, for Ctrl-C is our business.
            process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=PIPE, stdout=PIPE, env=environment, process_group=0
            )
            started.append(Worker(process, code, timeout))
        yield started
    finally:
        await asyncio.gather(*(each.end() for each in started))
