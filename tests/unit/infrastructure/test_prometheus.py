"""Metrics by the names of the specification, scraped as Prometheus does it."""

import importlib
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.users import User
from prometheus_client import CollectorRegistry, start_http_server

from hitherto import AggregateVersionConflict, Repository, connect
from hitherto.infrastructure.prometheus import PrometheusInstrumentation

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


async def test_no_metric_tells_an_id(registry: CollectorRegistry, scrape: Scrape) -> None:
    """Labels are few: each set of them is kept for ever."""
    await live(instrumentation=PrometheusInstrumentation(registry))
    labels = {label for name in scrape() for label in re.findall(r"(\w+)=", name)}
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
