"""Requests and rows, counted for a caller and for a company: how many get through, and for how long the rest waits."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings
from rest_framework.exceptions import Throttled

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company, Counter
from tenants.tests.clock import Clock
from tenants.tests.factories import UserFactory, issue_key
from tenants.throttling import charge

ME = "/api/v1/auth/me"
RATE = (3, 60)

pytestmark = pytest.mark.django_db


def statuses(api: Api, times: int, path: str = ME) -> list[int]:
    return [api.get(path).status_code for _ in range(times)]


def refused(answer: Any, what: str, wait: int) -> None:
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(wait)
    assert answer.json() == {
        "detail": f"Too many {what}: 3 in 60 seconds are allowed. Expected available in {wait} seconds."
    }


# --- Requests -----------------------------------------------------------------------------------


def test_as_many_requests_as_are_allowed_get_through_and_the_rest_is_a_429(
    api: Api, key: str, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS = RATE
    api.with_key(key)
    assert statuses(api, 5) == [200, 200, 200, 429, 429]
    clock.passes(18.5)
    refused(api.get(ME), "requests of this API key or user", 42)


def test_who_waits_as_long_as_retry_after_says_gets_through(
    api: Api, key: str, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS = RATE
    api.with_key(key)
    for passed in (0, 0.3, 59.7):
        assert statuses(api, 3) == [200, 200, 200]
        clock.passes(passed)
        clock.passes(int(api.get(ME).headers["Retry-After"]))


def test_a_window_begins_with_its_first_request_and_ends_once(
    api: Api, key: str, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS = RATE
    api.with_key(key)
    for _ in range(3):
        assert statuses(api, 1) == [200]
        clock.passes(20)
    assert statuses(api, 4) == [200, 200, 200, 429]


def test_each_key_and_each_user_has_a_counter_of_its_own(company: Company, settings: Settings, clock: Clock) -> None:
    settings.THROTTLE_REQUESTS = RATE
    user = UserFactory.create(company=company)
    for api in (Api().with_key(issue_key(company)), Api().with_key(issue_key(company)), Api().with_user(user)):
        assert statuses(api, 4) == [200, 200, 200, 429]


def test_the_callers_of_a_company_share_its_counter(
    company: Company, other_company: Company, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS_COMPANY = RATE
    key, user = Api().with_key(issue_key(company)), Api().with_user(UserFactory.create(company=company))
    assert statuses(key, 2) + statuses(user, 2) == [200, 200, 200, 429]
    refused(key.get(ME), "requests of this company", 60)
    assert statuses(Api().with_key(issue_key(other_company)), 3) == [200, 200, 200]


def test_what_a_key_is_refused_does_not_count_for_its_company(
    company: Company, settings: Settings, clock: Clock
) -> None:
    settings.THROTTLE_REQUESTS, settings.THROTTLE_REQUESTS_COMPANY = RATE, (5, 60)
    assert statuses(Api().with_key(issue_key(company)), 20) == [200] * 3 + [429] * 17
    assert statuses(Api().with_key(issue_key(company)), 3) == [200, 200, 429]


def test_a_system_admin_has_a_counter_but_no_company(settings: Settings, clock: Clock) -> None:
    settings.THROTTLE_REQUESTS, settings.THROTTLE_REQUESTS_COMPANY = RATE, (1, 60)
    admin = UserFactory.create(role=Role.SYSTEM_ADMIN)
    assert statuses(Api().with_user(admin), 4) == [200, 200, 200, 429]


def test_no_credentials_come_before_the_limit_and_no_permission_after_it(
    api: Api, company: Company, settings: Settings
) -> None:
    settings.THROTTLE_REQUESTS = (2, 60)
    assert statuses(api, 3) == [401] * 3
    api.with_user(UserFactory.create(company=company, role=Role.OPERATOR))
    assert [api.delete("/api/v1/pieces/x").status_code for _ in range(3)] == [403, 403, 429]
    api.credentials()
    api.with_key(issue_key(company, "sync:read"))
    assert [api.post_raw("/api/v1/sync/pieces", b"").status_code for _ in range(3)] == [403, 403, 429]
    assert statuses(api, 1) == [429]


def test_a_request_is_counted_once(api: Api, company: Company, settings: Settings) -> None:
    settings.THROTTLE_REQUESTS = (10, 60)
    assert api.with_key(issue_key(company)).get("/api/v1/pieces").status_code == 200
    assert Counter.objects.get().used == 1


def test_the_limit_comes_before_the_query_and_the_body(api: Api, key: str, settings: Settings) -> None:
    settings.THROTTLE_REQUESTS = (1, 60)
    api.with_key(key)
    assert api.get("/api/v1/pieces?limit=none").status_code == 422
    assert api.get("/api/v1/pieces?limit=none").status_code == 429
    assert api.delete("/api/v1/pieces").status_code == 429
    assert api.post_raw("/api/v1/sync/pieces", b"", content_type="text/plain").status_code == 429


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "/api/schema"])
def test_what_is_open_to_everyone_has_no_limit(api: Api, key: str, settings: Settings, path: str) -> None:
    settings.THROTTLE_REQUESTS = (1, 60)
    assert statuses(api.with_key(key), 3, path) == [200, 200, 200]


@pytest.mark.postgresql
def test_a_request_costs_one_statement_for_each_limit_that_is_set(api: Api, key: str, settings: Settings) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get("/api/v1/pieces").status_code == 200
        return len(queries)

    api.with_key(key)
    without = count()
    settings.THROTTLE_REQUESTS = (100, 60)
    assert count() == without + 1
    settings.THROTTLE_REQUESTS_COMPANY = (100, 60)
    assert count() == without + 2


@pytest.mark.postgresql
def test_the_counters_are_not_logged() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'tenants_counter'")
        assert cursor.fetchone() == ("u",)


# --- Counters -----------------------------------------------------------------------------------


def test_a_counter_of_its_own_for_each_name_overwritten_in_its_next_window(clock: Clock) -> None:
    names = [str(uuid.uuid4()) for _ in range(2)]
    for _ in range(3):
        for name in names:
            charge(name, 7, (10, 60), "things")
        assert dict(Counter.objects.values_list("name", "used")) == dict.fromkeys(names, 7)
        clock.passes(61)


def test_a_charge_beyond_the_limit_says_when_the_window_ends(clock: Clock) -> None:
    charge("full", 1, (1, 60), "things")
    clock.passes(20)
    with pytest.raises(Throttled) as caught:
        charge("full", 1, (1, 60), "things")
    assert "available in 40 seconds" in str(caught.value.detail)
