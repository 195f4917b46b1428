"""The services of the examples, each as a process of its own that is asked over HTTP."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
DJANGO = ROOT / "examples/django_project"
# Ends with the tests, however these end.
_START = """
import os, runpy, sys, threading
def end():
    sys.stdin.read()
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
sys.argv[:] = sys.argv[1:]
sys.path[0] = sys.argv.pop(0)
how = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
how(sys.argv[0], run_name="__main__")
"""
VIEW = "bank.accounts:Balances"
_UVICORN = ["uvicorn", "--log-level", "warning", "--port"]
KINDS = {
    "fastapi": [ROOT, *_UVICORN, "{port}", "examples.fastapi_service.service:app"],
    "django-asgi": [DJANGO, *_UVICORN, "{port}", "bank.asgi:application"],
    "django-wsgi": [DJANGO, "manage.py", "runserver", "--noreload", "{port}"],
    "django-worker": [DJANGO, "manage.py", "hitherto", "projections", "run", VIEW],
    "new": [Path(), *_UVICORN, "{port}", "--factory", "corner_shop.app:create_app"],
}


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def etag(self) -> str:
        return self.headers["etag"]


class Service:
    """A running service.

    Attributes:
        url: Of its store.
    """

    def __init__(self, kind: str, url: str, directory: Path) -> None:
        self.kind = kind
        self.url = url
        self.port = free_port()
        self._log = directory / f"{kind}.log"
        folder, *words = (str(word).format(port=self.port) for word in KINDS[kind])
        if words[0] == "manage.py":
            words[0] = str(DJANGO / "manage.py")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", _START, folder, *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, "DATABASE_URL": url},
            )

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def wait_until_ready(self) -> None:
        """Until it answers and reaches its store."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/ops/readyz").status == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{self.kind} is not ready:\n{self.log}")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json", **named})
            response = connection.getresponse()
            text = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        is_json = "json" in found["content-type"]
        return Answer(response.status, found, json.loads(text) if is_json else text)

    def terminate(self) -> None:
        """Ask it to end, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def started(kind: str, url: str, directory: Path) -> Iterator[Service]:
    """A service, not ready yet."""
    service = Service(kind, url, directory)
    try:
        yield service
    finally:
        service.end()
