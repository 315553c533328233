"""The rows of batches are counted, for a caller and for a company; above the limit nothing is written."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from sync.models import SyncRun
from sync.tests.batches import Sync, project_item
from tenants.models import Company
from tenants.tests.clock import Clock

RATE = (3, 60)

pytestmark = pytest.mark.django_db


def refused(answer: Any, what: str, wait: int) -> None:
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(wait)
    assert answer.json() == {
        "detail": f"Too many {what}: 3 in 60 seconds are allowed. Expected available in {wait} seconds."
    }


def items(company: Company, count: int) -> list[dict[str, Any]]:
    return [project_item(company, code=str(number)) for number in range(count)]


def test_the_rows_of_batches_are_counted(sync: Sync, company: Company, settings: Settings, clock: Clock) -> None:
    settings.THROTTLE_ROWS = RATE
    assert sync("projects", *items(company, 2)).status_code == 200
    assert sync("projects", *items(company, 5)).status_code == 200  # larger than what was left, or than all of it
    refused(sync("projects", *items(company, 1)), "rows of this API key or user", 60)
    clock.passes(60)
    assert sync("projects", *items(company, 1)).status_code == 200


def test_nothing_of_a_refused_batch_is_written_not_even_a_receipt(
    sync: Sync, company: Company, settings: Settings
) -> None:
    settings.THROTTLE_ROWS_COMPANY = RATE
    sync("projects", *items(company, 3))
    answer = sync("projects", *items(company, 2))
    assert answer.status_code == 429
    assert "X-Sync-Run" not in answer
    assert SyncRun.across_companies.get().status == "succeeded"


def test_a_request_that_is_one_too_many_has_no_receipt(sync: Sync, company: Company, settings: Settings) -> None:
    settings.THROTTLE_REQUESTS = (1, 60)
    sync("projects", *items(company, 3))
    answer = sync("projects", *items(company, 2))
    assert (answer.status_code, "X-Sync-Run" in answer) == (429, False)
    assert SyncRun.across_companies.count() == 1


@pytest.mark.parametrize("query", ["?dry_run=true", ""])
def test_rows_of_batches_that_write_nothing_count_too(
    sync: Sync, company: Company, settings: Settings, query: str
) -> None:
    settings.THROTTLE_ROWS = RATE
    faulty = [item | {"code": None} for item in items(company, 3)] if not query else items(company, 3)
    assert sync("projects", *faulty, query=query).status_code == (200 if query else 422)
    assert sync("projects", *faulty, query=query).status_code == 429


def test_a_429_does_not_use_up_an_idempotency_key(
    sync: Sync, company: Company, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS, settings.THROTTLE_ROWS = (3, 60), (2, 60)
    assert sync("projects", *items(company, 2)).status_code == 200
    for expected, replayed in ((429, None), (429, None), (200, None), (200, "true")):
        if (expected, replayed) == (200, None):
            clock.passes(60)
            settings.THROTTLE_ROWS = (20, 60)
        answer = sync("projects", *items(company, 2), idempotency_key="k")
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (expected, replayed)
    assert SyncRun.across_companies.filter(status="succeeded").count() == 2


def test_an_answer_that_is_sent_again_counts_its_rows(sync: Sync, company: Company, settings: Settings) -> None:
    settings.THROTTLE_ROWS = RATE
    batch = items(company, 2)
    answers = [sync("projects", *batch, idempotency_key="k").status_code for _ in range(3)]
    assert answers == [200, 200, 429]


@pytest.mark.postgresql
def test_a_sync_costs_one_statement_for_each_limit_that_is_set(
    sync: Sync, company: Company, settings: Settings
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert sync("projects", *items(company, 1)).status_code == 200
        return len(queries)

    without = count()
    settings.THROTTLE_REQUESTS = settings.THROTTLE_REQUESTS_COMPANY = (100, 60)
    settings.THROTTLE_ROWS = settings.THROTTLE_ROWS_COMPANY = (100, 60)
    assert count() == without + 4
