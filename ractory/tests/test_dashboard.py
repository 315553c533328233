"""The dashboard, the alerts and the table in the documents name the metrics and labels that a real server tells."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from bench.faults.server import ROOT
from pieces.tests.factories import ComponentFactory
from ractory.api.replica import READS
from ractory.tests.served import Served, served
from sync.tests.batches import piece_item
from tenants.models import Company
from tenants.tests.factories import issue_key

DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text())
ALERTS = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

Labels = dict[str, set[str]]  # of each name that a query may use


def traffic(server: Served) -> None:
    """One of each: written, refused, answered again."""
    component = ComponentFactory.create()
    key = issue_key(Company.objects.get(guid=component.company_guid))
    good = {name: str(value) for name, value in piece_item(component, piece_id="a").items()}
    for item, more in ((good, {"Idempotency_Key": "k"}), (good, {"Idempotency_Key": "k"}), (good | {"cell": 1}, {})):
        server.call("POST", "/api/v1/sync/pieces", {"pieces": [item]}, X_API_Key=key, **more)


@functools.cache  # of one server all that is asked here is known
def scraped(log: Path) -> str:
    with served(log) as server:
        traffic(server)
        return str(server.scrape())


@pytest.fixture
def families(transactional_db: None, tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    text = scraped(tmp_path_factory.getbasetemp() / "dashboard.log")
    READS.labels("primary")  # told only where there is a replica, so it is taken from this process
    return [*text_string_to_metric_families(text), *READS.collect()]


@pytest.fixture
def labels(families: list[Metric]) -> Labels:
    found: Labels = {family.name: set() for family in families}  # on SQLite some have no samples
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries(node: Any) -> list[str]:
    """Every PromQL expression in the dashboard or in the rules."""
    if isinstance(node, dict):
        own = [str(value) for name, value in node.items() if name in ("expr", "definition")]
        return own + [query for child in node.values() for query in queries(child)]
    return [query for child in node for query in queries(child)] if isinstance(node, list) else []


@pytest.mark.parametrize("document", [DASHBOARD, ALERTS], ids=["dashboard", "alerts"])
def test_every_name_in_a_query_is_told(document: Any, labels: Labels) -> None:
    asked = queries(document)
    assert len(asked) > 5
    for query in asked:
        names = re.findall(r"ractory_\w+", query)
        assert names or query.startswith("up{"), query
        assert set(names) <= set(labels), query


@pytest.mark.postgresql
@pytest.mark.parametrize("document", [DASHBOARD, ALERTS], ids=["dashboard", "alerts"])
def test_every_label_in_a_query_is_on_its_metric(document: Any, labels: Labels) -> None:
    theirs = {"instance", "job"}  # Prometheus's own
    for query in queries(document):
        for name, selector in re.findall(r"(ractory_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)\s*(?:=|!)", selector)) <= labels[name] | theirs, query
        known = theirs.union(*(labels[name] for name in re.findall(r"ractory_\w+", query)))
        for grouped in re.findall(r"\bby \(([^)]*)\)", query):
            assert set(re.findall(r"\w+", grouped)) <= known, query


def test_the_dashboard_holds_every_metric(families: list[Metric]) -> None:
    asked = " ".join(queries(DASHBOARD))
    assert [family.name for family in families if family.name not in asked] == []


def test_the_table_of_metrics_is_complete(families: list[Metric]) -> None:
    written = set(re.findall(r"^\| `(ractory_\w+)` \|", OPERATIONS, re.MULTILINE))
    assert written == {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def test_the_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & cells, panel["title"]
        cells |= own
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
