"""The fault suite's short form: a real server and a real PostgreSQL, killed again and again under load.

The long form is `make torture`; bench.faults says what is killed, sent and checked.
"""

import time
from pathlib import Path

import pytest

from bench.faults.overlap import overlap
from bench.faults.siege import siege
from client.ractory_client import Client, push
from client.tests.live import live_server
from pieces.models import Piece
from pieces.tests.factories import ComponentFactory
from tenants.models import Company
from tenants.tests.factories import issue_key

KILLS, BATCHES = 8, 40
SECONDS = 60  # at most; a few will do
SEED = 20260


@pytest.mark.postgresql
def test_under_a_siege_nothing_is_lost_doubled_or_torn(tmp_path: Path) -> None:
    with siege(SEED, tmp_path) as under_siege:
        under_siege.round(kills=KILLS, batches=BATCHES, pause=0.4, deadline=time.monotonic() + SECONDS)
        figures = under_siege.figures
        assert (dict(figures.complaints), figures.examples) == ({}, [])
        assert figures.counts["unknown: no answer"] > 0
        assert figures.counts["replayed"] > 0
        assert figures.counts["undos"] >= figures.counts["undos of undos"] > 0
        assert figures.total_kills >= KILLS
        assert figures.counts["batches audited"] > BATCHES / 2
        assert figures.counts["undos audited"] >= figures.counts["undos"]


@pytest.mark.django_db(transaction=True)
def test_overlapping_batches_in_opposite_orders_wait_for_each_other_instead_of_failing() -> None:
    component = ComponentFactory.create()
    key = issue_key(Company.objects.get(guid=component.company_guid))
    above = {
        "company_guid": str(component.company_guid),
        "project_guid": str(component.project_guid),
        "component_guid": str(component.guid),
    }
    items = [{**above, "guid": f"{number:032x}", "piece_id": str(number)} for number in range(1, 101)]
    with live_server(workers=6) as server:
        with Client(server.url, key) as client:
            list(push(client, "pieces", items))
        met = overlap(lambda: Client(server.url, key), items, seconds=5, seed=SEED)
    assert met.is_clean, met
    assert met.statuses["200"] >= 6, met
    assert Piece.across_companies.filter(component=component, is_active=True).count() == 100
