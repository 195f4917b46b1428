"""A process that folds with one version of the code: ``python -m hitherto.cli.replay_diff.worker``.

It is told what to do on stdin, and answers on stdout.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

import msgspec

from hitherto import Repository, connect
from hitherto.application.codec import JsonCodec, Serializer
from hitherto.application.comparable import Comparable
from hitherto.application.folding import Folding
from hitherto.cli.loading import Kind, load_all
from hitherto.cli.replay_diff.messages import (
    ALIVE,
    ANSWER,
    HEAD,
    REFUSAL,
    Import,
    Moments,
    Open,
    Outcomes,
    Request,
    Traces,
    framed,
)
from hitherto.cli.replay_diff.revisions import Code
from hitherto.errors import ConfigurationError, HithertoError

_MAX_PAYLOAD = 256 * 1024 * 1024  # What is stored, or comes of it, is compared however long it is.
_PAUSE = 1.0  # seconds between two signs of life

Requests = SimpleQueue[Request | None]


def main() -> None:
    """Serve until the input ends."""
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # What the modules print is no answer.
    requests = Requests()
    Thread(target=_receive, args=(source, requests), daemon=True).start()
    worker = _Worker(answers)
    try:
        worker.load(requests.get())  # Outside of any loop, as other commands import a module.
        asyncio.run(worker.serve(requests))
    except HithertoError as error:
        worker.send(REFUSAL, str(error))


def _receive(source: BinaryIO, requests: Requests) -> None:
    """Pass requests on; one without content is the last."""
    decode = msgspec.json.Decoder(Request).decode
    while len(head := source.read(HEAD)) == HEAD:
        if not (size := int.from_bytes(head, "big")):
            requests.put(None)
            return
        requests.put(decode(source.read(size)))
    os._exit(1)  # Who asked is gone, so nobody waits for the fold, however long it takes.


class _Worker:
    """Answers requests, one after the other."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._kinds: dict[str, Kind] = {}
        self._foldings: dict[str, Folding] = {}
        self._last = time.monotonic()

    def send(self, status: bytes, value: Any = msgspec.UNSET) -> None:
        """Send an answer."""
        rest = memoryview(framed(status, value))
        while rest:  # A pipe may take a part of it.
            rest = rest[self._answers.write(rest) :]
        self._last = time.monotonic()

    def load(self, request: Request | None) -> None:
        """Import the code, and tell what it has.

        Raises:
            ConfigurationError: It cannot be imported, or has none.
        """
        if not isinstance(request, Import):
            return
        sys.path[:] = request.code.path
        os.chdir(request.code.folder)
        self._kinds = _imported(request.code)
        fields = {
            name: list(Comparable(kind.definition, JsonCodec()).fields)  # type: ignore[attr-defined]
            for name, kind in self._kinds.items()
        }
        self.send(ANSWER, fields)

    async def serve(self, requests: Requests) -> None:
        """Answer requests until the last one.

        Raises:
            EventStoreUnavailable: The store cannot be reached.
        """
        opening = await asyncio.to_thread(requests.get)
        if not isinstance(opening, Open):
            return
        url, schema = opening.url, opening.schema
        async with connect(url, schema=schema, migrate=False, max_payload=_MAX_PAYLOAD) as store:
            for name, fields in opening.fields.items():
                repository = Repository(store, self._kinds[name], snapshot_every=None)
                self._foldings[name] = Folding(repository, fields, self._alive)
            self.send(ANSWER)
            while (request := await asyncio.to_thread(requests.get)) is not None:
                self.send(ANSWER, await self._fold(request))

    async def _fold(self, request: Request) -> Any:
        match request:
            case Outcomes(aggregate_type, ids):
                return await self._foldings[aggregate_type].outcomes(ids)
            case Traces(aggregate_type, ids):
                return await self._foldings[aggregate_type].traces(ids)
            case Moments(aggregate_type, places):
                return await self._foldings[aggregate_type].moments(places)
            case _:
                raise ConfigurationError(f"{type(request).__name__} comes too late")

    def _alive(self) -> None:
        if time.monotonic() - self._last > _PAUSE:
            self.send(ALIVE)


def _imported(code: Code) -> dict[str, Kind]:
    """The kinds of aggregate that a version of the code has, by their stored names."""
    try:
        found = load_all([code.name])
        _check_place(code)
    except ConfigurationError as error:
        where = "" if code.revision is None else f"at revision {code.revision!r}: "
        raise ConfigurationError(f"{where}{error}") from error
    kinds: dict[str, Kind] = {}
    for kind in found:
        definition = kind.definition  # type: ignore[attr-defined]
        name = definition.aggregate_type
        if name in kinds:
            raise ConfigurationError(f"{code.label!r} has two that are stored as {name!r}")
        try:
            Serializer[Any](definition, JsonCodec())
        except TypeError as error:
            raise ConfigurationError(f"{code.label!r}: {error}") from error
        kinds[name] = kind
    return kinds


def _check_place(code: Code) -> None:
    """Refuse a module that is not of the revision, but lies elsewhere."""
    module = code.name.partition(":")[0]
    file = getattr(sys.modules[module], "__file__", None)
    if code.root is not None and not (file and Path(file).resolve().is_relative_to(code.root)):
        raise ConfigurationError(
            f"the module {module!r} is not there, as seen from the current folder; "
            f"{file or 'one without a file'} was found instead"
        )
    for name, each in list(sys.modules.items()):
        if code.top is not None and name.partition(".")[0] != "hitherto":
            _check_age(name, getattr(each, "__file__", None), code.top, str(code.root))


def _check_age(name: str, file: str | None, top: str, root: str) -> None:
    """Refuse a module that is of the repository, but not of the revision."""
    path = Path(file or "").resolve()
    if path.is_relative_to(root) or not path.is_relative_to(top):
        return
    if (Path(root) / path.relative_to(top)).exists():
        raise ConfigurationError(
            f"the module {name!r} is that of today, {file}, though it may be another one there: "
            "name the folder that it is in by PYTHONPATH"
        )


if __name__ == "__main__":
    main()
