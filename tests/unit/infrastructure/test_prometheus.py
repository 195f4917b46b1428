"""Metrics by the names of the specification, scraped as Prometheus does it."""

import asyncio
import importlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.users import User
from prometheus_client import CollectorRegistry, start_http_server

from hitherto import AggregateVersionConflict, EventStoreUnavailable, Repository, connect
from hitherto.application.health import PoolUse, Usage
from hitherto.infrastructure import late_metrics, prometheus
from hitherto.infrastructure.prometheus import BUCKETS, PrometheusInstrumentation

Scrape = Callable[[], dict[str, float]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """One for each test: a name is registered once."""
    return CollectorRegistry()


@pytest.fixture
def scrape(registry: CollectorRegistry) -> Iterator[Scrape]:
    """What a server on loopback answers to a scrape: values by name and labels."""
    server, thread = start_http_server(0, "127.0.0.1", registry)

    def scraped() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}

    yield scraped
    server.shutdown()
    server.server_close()
    thread.join()


async def live(**settings: Any) -> None:
    """A user who is created, loaded, snapshot, and fought over."""
    async with connect("memory:", **settings) as store:
        users = Repository(store, User)
        user = User.create("user-1", "john@example.com", "John Doe")
        user.rename("Jack")
        await users.save(user)
        first, second = await users.load("user-1"), await users.load("user-1")
        await users.snapshot(first)
        for each in (first, second):
            each.rename(f"not {each.name}, nor {id(each)}")
        await users.save(first)
        with pytest.raises(AggregateVersionConflict):
            await users.save(second)


async def test_the_metrics_of_the_specification_are_scraped(
    registry: CollectorRegistry, scrape: Scrape
) -> None:
    """With their exact names; an event counts once, whatever it is saved or loaded with."""
    await live(instrumentation=PrometheusInstrumentation(registry))
    found = scrape()
    of_users = '{aggregate_type="User"}'
    assert found[f"aggregate_events_saved_total{of_users}"] == 3
    assert found[f"aggregate_events_loaded_total{of_users}"] == 4
    assert found[f"aggregate_snapshots_created_total{of_users}"] == 1
    assert found[f"aggregate_concurrency_conflicts_total{of_users}"] == 1
    duration = "aggregate_operation_duration_seconds"
    counts = {
        operation: found[f'{duration}_count{{aggregate_type="User",operation="{operation}"}}']
        for operation in ("save", "load", "snapshot")
    }
    assert counts == {"save": 3, "load": 2, "snapshot": 1}
    assert found[f'{duration}_sum{{aggregate_type="User",operation="save"}}'] > 0


async def test_a_store_under_load_is_scraped(
    registry: CollectorRegistry, scrape: Scrape, tmp_path: Path
) -> None:
    """While it works, too; in the end nothing is missing, and nothing counted twice."""
    hooks = PrometheusInstrumentation(registry)
    seen: list[float] = []
    async with connect(
        f"sqlite:///{tmp_path}/store.db", instrumentation=hooks, max_connections=3
    ) as store:
        users = Repository(store, User, snapshot_every=2)

        async def work(number: int) -> None:
            user = User.create(f"user-{number}", "ada@example.com", "Ada")
            await users.save(user)
            await users.update(user.id, lambda user: user.rename("Grace"))
            if not number % 50:
                found = await asyncio.to_thread(scrape)
                seen.append(found['aggregate_events_saved_total{aggregate_type="User"}'])

        await asyncio.gather(*(work(number) for number in range(200)))
        stale = await users.load("user-0")
        await users.update("user-0", lambda user: user.rename("Kurt"))
        stale.rename("Alan")
        with pytest.raises(AggregateVersionConflict):
            await users.save(stale)
        found = await asyncio.to_thread(scrape)
    of_users = '{aggregate_type="User"}'
    counters = {
        name: found[f"aggregate_{name}_total{of_users}"]
        for name in ("events_saved", "events_loaded", "snapshots_created", "concurrency_conflicts")
    }
    assert counters == {
        "events_saved": 401,
        "events_loaded": 200,
        "snapshots_created": 200,
        "concurrency_conflicts": 1,
    }
    duration = "aggregate_operation_duration_seconds"
    assert found[f'{duration}_count{{aggregate_type="User",operation="save"}}'] == 402
    assert found[f'{duration}_bucket{{aggregate_type="User",le="+Inf",operation="save"}}'] == 402
    assert len(seen) == 4
    assert all(0 < value <= 400 for value in seen)
    assert found["event_store_batch_appends_sum"] == 401
    assert found["event_store_batch_events_sum"] == 401
    assert 1 < found["event_store_batch_appends_count"] < 401
    assert found["event_store_pool_limit"] >= 3
    pool = [found[f'event_store_pool_connections{{state="{state}"}}'] for state in ("idle", "used")]
    assert 0 < sum(pool) <= found["event_store_pool_limit"]
    assert found["event_store_queue_depth"] == 0
    assert found["event_store_breaker_state"] == 0


async def test_no_metric_tells_an_id(registry: CollectorRegistry, scrape: Scrape) -> None:
    """Labels are few: each set of them is kept for ever."""
    await live(instrumentation=PrometheusInstrumentation(registry))
    names = [name for name in scrape() if "user-1" not in name]
    assert names == list(scrape())
    labels = {label for name in names for label in re.findall(r"(\w+)=", name)}
    assert labels == {"aggregate_type", "operation", "le"}


async def test_a_failing_snapshot_and_an_unusable_one_are_counted(
    registry: CollectorRegistry, scrape: Scrape
) -> None:
    """They cost time only, but somebody should look."""
    metrics = PrometheusInstrumentation(registry)
    metrics.snapshot_failed("User")
    metrics.snapshot_unusable("User")
    found = scrape()
    assert found['aggregate_snapshots_failed_total{aggregate_type="User"}'] == 1
    assert found['aggregate_snapshots_unusable_total{aggregate_type="User"}'] == 1


def test_durations_fall_into_their_buckets(registry: CollectorRegistry, scrape: Scrape) -> None:
    """Also those that lie on a bound or above the last one, and many at once."""
    metrics = PrometheusInstrumentation(registry)
    observe = metrics._durations("save", "User")
    for seconds in (*BUCKETS, 0.0001, 99.0):
        for _ in range(late_metrics.LIMIT // 4):
            observe(seconds)
    found = scrape()
    name = "aggregate_operation_duration_seconds"
    each = late_metrics.LIMIT // 4
    for number, bound in enumerate(BUCKETS):
        bucket = f'{name}_bucket{{aggregate_type="User",le="{float(bound)}",operation="save"}}'
        assert found[bucket] == (number + 2) * each
    of_saves = '{aggregate_type="User",operation="save"}'
    assert found[f"{name}_count{of_saves}"] == (len(BUCKETS) + 2) * each
    total = each * (sum(BUCKETS) + 99.0001)
    assert found[f"{name}_sum{of_saves}"] == pytest.approx(total)


def test_retries_and_openings_of_the_breaker_are_counted(
    registry: CollectorRegistry, scrape: Scrape
) -> None:
    """By the call that is tried again; only what opens it counts."""
    metrics = PrometheusInstrumentation(registry)
    assert scrape()["event_store_breaker_opened_total"] == 0
    metrics.call_retried("append")
    for state in ("open", "half-open", "open", "half-open", "closed"):
        metrics.breaker_changed(state)
    found = scrape()
    assert found['event_store_retries_total{call="append"}'] == 1
    assert found["event_store_breaker_opened_total"] == 2


def test_the_use_of_all_open_stores_is_told_in_one(
    registry: CollectorRegistry, scrape: Scrape
) -> None:
    """Sums, and of the breakers the worst; a closed store is not asked any more."""
    metrics = PrometheusInstrumentation(registry)
    pool = PoolUse(size=5, idle=2, limit=10)
    usages = [
        Usage(pool=pool, queue_depth=3, breaker="half-open"),
        Usage(pool=pool, queue_depth=4),
        Usage(breaker="open"),
    ]
    asked = [lambda usage=usage: usage for usage in usages]
    for usage in (*asked, asked[0]):  # Opening again does nothing.
        metrics.store_opened(usage)
    metrics.store_closed(asked[2])
    found = scrape()
    assert found["event_store_queue_depth"] == 7
    assert found["event_store_breaker_state"] == 1
    assert found['event_store_pool_connections{state="used"}'] == 6
    assert found['event_store_pool_connections{state="idle"}'] == 4
    assert found["event_store_pool_limit"] == 20
    metrics.store_closed(asked[0])
    metrics.store_closed(asked[1])
    assert not [name for name in scrape() if "pool" in name or "queue" in name or "state" in name]


async def test_an_open_breaker_shows(registry: CollectorRegistry, scrape: Scrape) -> None:
    """As a store tells it."""
    hooks = PrometheusInstrumentation(registry)
    async with connect(
        "memory:", instrumentation=hooks, timeout=0.01, breaker_threshold=1
    ) as store:

        async def unreachable(*_: Any, **__: Any) -> Any:
            raise EventStoreUnavailable("the connection was cut")

        store.sealed.backend.append = unreachable  # type: ignore[attr-defined]
        with pytest.raises(EventStoreUnavailable):
            await Repository(store, User).save(User.create("user-1", "ada@example.com", "Ada"))
        found = scrape()
    assert found["event_store_breaker_state"] == 2
    assert found["event_store_breaker_opened_total"] == 1
    assert found['event_store_retries_total{call="append"}'] >= 1


def test_what_a_projection_does_is_counted(registry: CollectorRegistry, scrape: Scrape) -> None:
    """A checkpoint that moves without events is no batch; parked events count from 0 on."""
    metrics = PrometheusInstrumentation(registry)
    metrics.projection_advanced("Balances", 0, 0.2)
    of_balances = '{projection="Balances"}'
    found = scrape()
    assert found[f"projection_events_handled_total{of_balances}"] == 0
    assert found[f"projection_batch_duration_seconds_count{of_balances}"] == 0
    assert found[f"projection_events_parked_total{of_balances}"] == 0
    metrics.projection_advanced("Balances", 30, 0.2)
    metrics.projection_advanced("Balances", 12, 0.1)
    metrics.event_parked("Balances")
    found = scrape()
    assert found[f"projection_events_handled_total{of_balances}"] == 42
    assert found[f"projection_batch_duration_seconds_count{of_balances}"] == 2
    assert found[f"projection_batch_duration_seconds_sum{of_balances}"] == pytest.approx(0.3)
    assert found[f"projection_events_parked_total{of_balances}"] == 1


def test_the_lag_that_nobody_tells_any_more_is_not_shown(
    registry: CollectorRegistry, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last value would look well for ever after the last worker has ended."""
    metrics = PrometheusInstrumentation(registry)
    now = 1000.0
    monkeypatch.setattr(prometheus, "monotonic", lambda: now)
    metrics.projection_lag("Balances", 9, 7.0)
    metrics.projection_lag("Balances", 3, 2.5)
    now += prometheus.LAG_KEPT
    metrics.projection_lag("Others", 0, 0.0)
    found = scrape()
    assert found['projection_lag_events{projection="Balances"}'] == 3
    assert found['projection_lag_seconds{projection="Balances"}'] == 2.5
    now += 0.1
    found = scrape()
    assert 'projection_lag_seconds{projection="Balances"}' not in found
    assert 'projection_lag_events{projection="Balances"}' not in found
    assert found['projection_lag_seconds{projection="Others"}'] == 0


def test_commands_are_timed_by_their_class(registry: CollectorRegistry, scrape: Scrape) -> None:
    """Ended well or not."""
    metrics = PrometheusInstrumentation(registry)
    with metrics.command("AddPenalty"):
        pass
    with pytest.raises(ZeroDivisionError), metrics.command("AddPenalty"):
        raise ZeroDivisionError
    assert scrape()['command_duration_seconds_count{command="AddPenalty"}'] == 2


@pytest.mark.integration
def test_a_forked_child_tells_of_its_own_stores(tmp_path: Path) -> None:
    """Those of its parent it cannot use; without await, it opens them anew."""
    script = """
import os, sys
from prometheus_client import CollectorRegistry
from hitherto.infrastructure.prometheus import PrometheusInstrumentation
from hitherto.sync import connect

registry = CollectorRegistry()
metrics = PrometheusInstrumentation(registry)
with connect(f"sqlite:///{sys.argv[1]}/store.db", max_connections=3, instrumentation=metrics) as s:
    print(registry.get_sample_value("event_store_pool_limit"), flush=True)
    if os.fork() == 0:
        s.watermark()
        print(registry.get_sample_value("event_store_pool_limit"), flush=True)
        os._exit(0)
    os.wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    in_parent, in_child = ended.stdout.split()
    assert in_child == in_parent


@pytest.mark.integration
def test_where_several_processes_share_a_folder_each_value_is_counted_at_once(
    tmp_path: Path,
) -> None:
    """Another process may be the one that is scraped, and cannot see what waits in this one."""
    script = """
import os
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from hitherto.infrastructure.prometheus import PrometheusInstrumentation

metrics = PrometheusInstrumentation()
if os.fork() == 0:
    metrics.events_saved("User", 2)
    with metrics.operation("save", "User"):
        pass
    os._exit(0)
os.wait()
scraped = CollectorRegistry()
MultiProcessCollector(scraped)
print(generate_latest(scraped).decode())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60,
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
    )  # fmt: skip
    assert 'aggregate_events_saved_total{aggregate_type="User"} 2.0' in ended.stdout
    of_saves = 'aggregate_type="User",operation="save"'
    assert f"aggregate_operation_duration_seconds_count{{{of_saves}}} 1.0" in ended.stdout


def test_a_registry_takes_one_instance(registry: CollectorRegistry) -> None:
    """Two would count into one name."""
    PrometheusInstrumentation(registry)
    with pytest.raises(ValueError, match="aggregate_events_saved"):
        PrometheusInstrumentation(registry)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not part of the bare install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "hitherto.infrastructure.prometheus")
    with pytest.raises(ModuleNotFoundError, match=r"hitherto\[prometheus\]"):
        importlib.import_module("hitherto.infrastructure.prometheus")
