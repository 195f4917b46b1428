"""What surrounds the pieces of Python in the documentation that are no programs by themselves.

With it they are run at their place, among the page's other blocks.
"""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from tests.acceptance.docs_blocks import Block, name_of


class Surrounded(NamedTuple):
    """What comes before a block and after it, how deep in there it stands, and what stands in."""

    before: str = ""
    after: str = ""
    depth: int = 0
    stand_ins: Mapping[str, str] = {}


def surrounded(block: Block) -> str:
    """A block that can be run; empty where there is nothing that would surround it."""
    found = SURROUNDED.get(name_of(block.page), {}).get(block.first)
    if found is None:
        return ""
    code = block.code
    for shown, stand_in in found.stand_ins.items():
        assert shown in code, f"{block.where}: {shown}"
        code = code.replace(shown, stand_in)
    return f"{found.before}\n{textwrap.indent(code, ' ' * 4 * found.depth)}\n{found.after}\n"


_ANOTHER_REGISTRY = {  # for a process has one of each metric
    "PrometheusInstrumentation()": "PrometheusInstrumentation(CollectorRegistry())"
}

SURROUNDED = {
    "docs/how-to/monitor-a-store.md": {
        "from contextlib import asynccontextmanager": Surrounded(
            after="""
from fastapi.testclient import TestClient

with TestClient(app) as client:
    assert client.get("/ops/readyz").status_code == 200
    assert "event_store_queue_depth 0.0" in client.get("/ops/metrics").text
""",
        ),
        "async with connect(instrumentation=PrometheusInstrumentation()) as store:": Surrounded(
            before="""
import uvicorn
from prometheus_client import CollectorRegistry

async def work(store):
    while not server.started:
        await asyncio.sleep(0.01)
    server.should_exit = True

async def serve():
    global server
""",
            after="asyncio.run(serve())",
            depth=1,
            stand_ins={"port=9000": "port=0", **_ANOTHER_REGISTRY},
        ),
        "from hitherto.application.instrumentation import Instrumentations": Surrounded(
            before="""
from hitherto.infrastructure.opentelemetry import OpenTelemetryInstrumentation

tracing = OpenTelemetryInstrumentation()
""",
            after="""
async def opened():
    async with store:
        return (await store.health_check()).status

assert asyncio.run(opened()) == "healthy"
""",
            stand_ins=_ANOTHER_REGISTRY,
        ),
    },
    "docs/how-to/run-a-process.md": {
        "import signal": Surrounded(
            before="""
import os
import signal
import threading
import time

def end():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end).start()
""",
        ),
    },
    "docs/how-to/run-on-postgresql.md": {
        "async with connect() as store:": Surrounded(
            before="import asyncio\nfrom hitherto import connect\nasync def main():",
            after="asyncio.run(main())",
            depth=1,
            stand_ins={"...": 'assert (await store.health_check()).status == "healthy"'},
        ),
    },
    "docs/how-to/send-commands.md": {
        "async def transfer(command: Transfer) -> None:": Surrounded(
            before="""
class Transfer(msgspec.Struct, frozen=True):
    source: str
    target: str
    cents: int

store = connect("memory:")
accounts = Repository(store, Account)
bus = CommandBus(store)
Account.withdraw = lambda self, cents: self.record(Deposited(cents=-cents))
""",
            after="""
async def moved():
    async with store:
        for name in ("mine", "yours"):
            account = Account(name)
            account.deposit(9)
            await accounts.save(account)
        await bus.send(Transfer("mine", "yours", 4))
        return [(await accounts.load(name)).cents for name in ("mine", "yours")]

assert asyncio.run(moved()) == [5, 13]
""",
        ),
        "async def only_by_day(command: object, next: Next) -> object:": Surrounded(
            before="""
from datetime import UTC
from datetime import datetime as real

from hitherto import InvalidInput
from hitherto.application.commands import Next

class datetime:
    @staticmethod
    def now(zone):
        return real(2026, 11, 30, hour, tzinfo=zone)
""",
            after="""
async def done(command):
    return "done"

hour = 8
assert asyncio.run(only_by_day(Transfer("a", "b", 1), done)) == "done"
hour = 18
try:
    asyncio.run(only_by_day(Transfer("a", "b", 1), done))
except InvalidInput:
    hour = None
assert hour is None
""",
        ),
    },
    "docs/how-to/survive-outages.md": {
        "except EventStoreUnavailable as error:": Surrounded(
            before="""
from math import ceil

from starlette.responses import Response

from hitherto import EventStoreUnavailable

def answer():
    try:
        raise EventStoreUnavailable("it is down", retry_after=1.5)
""",
            after='assert answer().headers["retry-after"] == "2"',
            depth=1,
        ),
    },
    "docs/how-to/use-without-async.md": {
        "worker = ProjectionWorker(store, Sums())": Surrounded(
            before="""
import os
import signal

over = threading.Event()

def end():
    while not over.wait(0.1):
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)

ending = threading.Thread(target=end)
ending.start()
with connect("sqlite:///counter.db") as store:
""",
            after="    over.set()\nending.join()",
            depth=1,
        ),
    },
    "docs/how-to/write-a-store.md": {
        "from collections.abc import AsyncIterator": Surrounded(
            before="from hitherto.infrastructure.memory import MemoryStore as MyStore",
            after="""
if __name__ == "__main__":
    import pytest

    chosen = ["-k", "snapshot", "-o", "asyncio_mode=auto"]
    chosen += ["-o", "asyncio_default_fixture_loop_scope=function"]
    assert pytest.main([__file__, "-q", "-p", "no:cacheprovider", *chosen]) == 0
""",
        ),
    },
    "docs/reference/metrics.md": {
        "import prometheus_client": Surrounded(
            after="""
import asyncio

async def main():
    async with store:
        return prometheus_client.generate_latest().decode()

assert "event_store_queue_depth 0.0" in asyncio.run(main())
""",
            stand_ins={"postgresql://localhost/shop": "memory:", "9000": "0, addr='127.0.0.1'"},
        ),
    },
    "docs/reference/tracing.md": {
        "from hitherto import connect": Surrounded(
            before="""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
""",
            stand_ins={"postgresql://localhost/shop": "memory:"},
        ),
        "async for recorded in store.read_all(after=checkpoint):": Surrounded(
            before="""
import asyncio

from hitherto import Repository
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines

checkpoint = 0
handled = []

async def project(recorded):
    handled.append(recorded)

async def main():
    async with store:
        await import_fines(Repository(store, Fine), sample_lines()[:3])
""",
            after="""
asyncio.run(main())
processed = [each for each in spans.get_finished_spans() if each.name == "process Fine"]
links = [link for each in processed for link in each.links]
assert len(links) == len(handled) > 3
""",
            depth=2,
        ),
    },
}
"""Of a page, by the first line of the block."""
