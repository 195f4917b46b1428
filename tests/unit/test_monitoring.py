"""The dashboard and the alerts in the docs ask for metrics that there are, in words that parse."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from hitherto.application.health import PoolUse, Usage
from hitherto.infrastructure.prometheus import PrometheusInstrumentation

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
DASHBOARD: Any = json.loads((FOLDER / "grafana-dashboard.json").read_text())
ALERTS: Any = yaml.safe_load((FOLDER / "alerts.yml").read_text())
REFERENCE = (FOLDER.parent / "reference" / "metrics.md").read_text()
TARGET_LABELS = {"job", "instance", "le"}


def registry() -> CollectorRegistry:
    """With a sample of every metric."""
    made = CollectorRegistry()
    metrics = PrometheusInstrumentation(made)
    pool = PoolUse(size=1, idle=1, limit=1)
    metrics.store_opened(lambda: Usage(pool=pool))
    with metrics.operation("save", "User"):
        metrics.events_saved("User", 1)
    metrics.events_loaded("User", 1)
    metrics.snapshot_created("User")
    metrics.snapshot_failed("User")
    metrics.snapshot_unusable("User")
    metrics.concurrency_conflict("User")
    metrics.call_retried("append")
    metrics.breaker_changed("open")
    metrics.batch_written(1, 1)
    metrics.projection_advanced("Balances", 1, 0.1)
    metrics.projection_lag("Balances", 1, 1.0)
    with metrics.command("AddPenalty"):
        pass
    return made


SAMPLES = {
    sample.name: set(sample.labels)
    for metric in registry().collect()
    for sample in metric.samples
    if not sample.name.endswith("_created")
}
FAMILIES = {re.sub("_(bucket|count|sum)$", "", name) for name in SAMPLES}


def panels() -> list[Any]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """All that is asked of Prometheus; Grafana puts an interval in."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")
    for rule in rules():
        yield rule["expr"]


def rules() -> list[Any]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def selectors_in(query: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(expression: promql_parser.Expr) -> bool:
        if isinstance(expression, promql_parser.VectorSelector):
            found.append(expression)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def names_in(query: str) -> set[str]:
    return {str(selector.name) for selector in selectors_in(query)}


def test_every_metric_is_known() -> None:
    """So that the tests below look for all of them."""
    assert len(FAMILIES) == 21
    assert "aggregate_operation_duration_seconds_bucket" in SAMPLES


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_parses_and_asks_for_what_there_is(query: str) -> None:
    """Its metrics, and of these the labels."""
    names = names_in(query)
    assert names
    assert names <= SAMPLES.keys()
    for selector in selectors_in(query):
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= SAMPLES[str(selector.name)] | TARGET_LABELS
    grouped = re.findall(r"[\w]+", " ".join(re.findall(r"by \(([^)]*)\)", query)))
    assert set(grouped) <= TARGET_LABELS.union(*(SAMPLES[name] for name in names))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_metric_has_a_panel_and_a_line_in_the_reference(family: str) -> None:
    """Whoever adds one, shows it."""
    shown = {
        re.sub("_(bucket|count|sum)$", "", name)
        for panel in panels()
        for target in panel["targets"]
        for name in names_in(target["expr"].replace("$__rate_interval", "5m"))
    }
    assert family in shown
    assert f"| `{family}` |" in REFERENCE


def test_the_reference_tells_of_no_other_metric() -> None:
    """A name that was given up would mislead."""
    assert set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE)) == FAMILIES


def test_the_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    """Grafana would move them."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_variables_of_the_dashboard_are_defined() -> None:
    """And their values come from metrics that there are."""
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    variables = DASHBOARD["templating"]["list"]
    assert used == {variable["name"] for variable in variables}
    for variable in variables:
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["definition"])[0]
            assert label in SAMPLES[metric] | TARGET_LABELS


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    """With labels that its expression leaves."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        told = rule["annotations"]["summary"] + rule["annotations"]["description"]
        kept = set(re.findall(r"[\w]+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        aggregated = kept or {"job", "instance"}
        assert set(re.findall(r"\$labels\.(\w+)", told)) <= aggregated
