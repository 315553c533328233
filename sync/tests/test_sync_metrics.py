"""What Prometheus learns of a sync: its receipt, its items by outcome, its size, its faults, its replay."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from pieces.models import Component
from sync.models import IdempotentAnswer
from sync.tests.batches import Sync, full_piece, piece_item

pytestmark = pytest.mark.django_db(transaction=True)  # what is not committed is not counted

Growth = Callable[[], dict[tuple[str, ...], float]]


def samples() -> dict[tuple[str, ...], float]:
    """The counters of syncs of pieces, by name and the values of their other labels."""
    return {
        (
            sample.name,
            *(value for label, value in sample.labels.items() if label not in ("entity", "route")),
        ): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.labels.get("entity") == "pieces" or sample.labels.get("route") == "/api/v1/sync/pieces"
        if not sample.name.endswith(("_created", "_sum")) and "http_request" not in sample.name
    }


@pytest.fixture
def growth() -> Growth:
    """By how much they have grown since the test began, where they have."""
    before = samples()
    return lambda: {key: value - before.get(key, 0) for key, value in samples().items() if value != before.get(key, 0)}


def rows(found: dict[tuple[str, ...], float]) -> dict[str, float]:
    return {key[1]: value for key, value in found.items() if key[0] == "ractory_sync_rows_total"}


def test_items_are_counted_by_what_became_of_them(sync: Sync, component: Component, growth: Growth) -> None:
    items = [full_piece(component, number) for number in range(5)]
    sync("pieces", *items[:4])
    sync("pieces", items[3] | {"is_active": False})
    assert rows(growth()) == {"inserted": 4, "deleted": 1}
    batch = [items[0], items[1] | {"cell": "x"}, items[2] | {"is_active": False}, items[3], items[4]]
    sync("pieces", *batch)
    assert rows(growth()) == {"inserted": 5, "deleted": 2, "unchanged": 1, "updated": 1, "restored": 1}
    found = growth()
    assert found["ractory_sync_runs_total", "succeeded", "200"] == 3
    assert found["ractory_sync_batch_items_count",] == 3
    assert found["ractory_sync_batch_items_bucket", "1.0"] == 1
    assert found["ractory_sync_batch_items_bucket", "10.0"] == 3


def test_a_dry_run_writes_no_rows(sync: Sync, component: Component, growth: Growth) -> None:
    sync("pieces", full_piece(component, 1), query="?dry_run=true")
    assert rows(growth()) == {}
    assert growth()["ractory_sync_runs_total", "succeeded", "200"] == 1


def test_a_refusal_is_counted_by_its_status_and_its_faults(sync: Sync, component: Component, growth: Growth) -> None:
    good = piece_item(component, piece_id="a")
    sync("pieces", good | {"outer_length": "abc"}, good | {"inner_length": "abc"}, good | {"piece_id": None})
    sync("pieces", *[good] * 1001)
    found = growth()
    assert found["ractory_sync_runs_total", "rejected", "422"] == 1
    assert found["ractory_sync_runs_total", "rejected", "400"] == 1
    faults = {key[1]: value for key, value in found.items() if key[0] == "ractory_sync_faults_total"}
    assert faults == {"int_type": 2, "string_type": 1, "refused": 1}
    assert rows(found) == {}


def test_a_replay_is_one_and_no_rows(sync: Sync, component: Component, growth: Growth) -> None:
    item = full_piece(component, 1)
    for _ in range(3):
        sync("pieces", item, idempotency_key="k")
    assert growth()["ractory_idempotent_replays_total",] == 2
    assert rows(growth()) == {"inserted": 1}


def test_what_was_rolled_back_is_not_counted(
    sync: Sync, component: Component, growth: Growth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*args: Any, **options: Any) -> None:
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(IdempotentAnswer.objects, "create", lost)  # after the receipt, before the commit
    response = sync("pieces", full_piece(component, 1), idempotency_key="k")
    assert response.status_code == 503
    assert rows(growth()) == {}
    assert growth()["ractory_sync_runs_total", "rejected", "503"] == 1
