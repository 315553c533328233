"""`GET /metrics`: who may read it, and that its labels are a few fixed words whatever clients send."""

import re
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import override_settings
from prometheus_client.parser import text_string_to_metric_families

from ractory.api.tests.client import Api
from tenants.models import Company

TOKEN = "the-scraper's-own"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def _token() -> Any:
    with override_settings(METRICS_TOKEN=TOKEN):
        yield


def scraped(api: Api) -> Series:
    """Every sample, by its name and labels."""
    response = api.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(response.content.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def grown(before: Series, after: Series, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """By how much the samples of this name have grown, where they have."""
    differences = {
        labels: value - before.get((sample, labels), 0) for (sample, labels), value in after.items() if sample == name
    }
    return {labels: difference for labels, difference in differences.items() if difference}


def requests_counted(api: Api, *calls: tuple[str, str]) -> list[dict[str, str]]:
    """The labels under which these requests, by method and path, were counted."""
    before = scraped(api)
    for method, path in calls:
        api.generic(method, path).close()  # a file, perhaps
    found = grown(before, scraped(api), "ractory_http_requests_total")
    ours = [dict(labels) for labels in found if ("route", "/metrics") not in labels]
    assert sum(found.values()) == len(calls) + 1  # and the first scrape
    return ours


@pytest.mark.django_db
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", "Bearer wrong", f"Bearer {TOKEN}x", "Bearer é", TOKEN]
)
def test_without_the_token_it_is_a_401(api: Api, header: str | None) -> None:
    response = api.get("/metrics", headers={} if header is None else {"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ractory metrics"'
    assert b"ractory_" not in response.content


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", f"Bearer {TOKEN}"])
def test_where_no_token_is_set_it_does_not_exist(api: Api, header: str) -> None:
    with override_settings(METRICS_TOKEN=""):
        response = api.get("/metrics", headers={"Authorization": header})
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


@pytest.mark.django_db
def test_a_tenants_key_does_not_open_it(api: Api, key: str) -> None:
    assert api.with_key(key).get("/metrics").status_code == 401


@pytest.mark.django_db
def test_a_request_is_counted_by_method_route_and_status(api: Api, company: Company) -> None:
    paths = [f"/api/v1/pieces/{company.guid}", "/api/v1/pieces/x", "/api/v1/pieces/x/"]
    assert requests_counted(api, *(("GET", path) for path in paths)) == [
        {"method": "GET", "route": "/api/v1/pieces/<str:guid>", "status": "401"}
    ]


@pytest.mark.django_db
def test_paths_and_methods_that_do_not_exist_share_one_label_each(api: Api) -> None:
    paths = ["/nope", "/nope/2", "/api/v1/nope", "/api/nope/nope", "/%0a%00", "/" + "x" * 900, "/admin.php"]
    assert requests_counted(api, *(("GET", path) for path in paths)) == [
        {"method": "GET", "route": "unknown", "status": "404"}
    ]
    assert requests_counted(api, ("BREW", "/health"), ("PROPFIND", "/health")) == [
        {"method": "other", "route": "/health", "status": "405"}
    ]


@pytest.mark.django_db
def test_files_share_one_label(api: Api) -> None:
    found = requests_counted(api, ("GET", "/static/tenants/staff.css"), ("GET", "/static/nope.css"))
    assert {labels["route"] for labels in found} == {"static"}


@pytest.mark.django_db
def test_the_time_of_a_request_is_counted_by_method_and_route(api: Api) -> None:
    before = scraped(api)
    api.get("/health")
    after = scraped(api)
    labels = frozenset({("method", "GET"), ("route", "/health")})
    assert grown(before, after, "ractory_http_request_duration_seconds_count")[labels] == 1
    assert grown(before, after, "ractory_http_request_duration_seconds_sum")[labels] > 0


@pytest.mark.django_db
def test_a_scrape_sees_itself_at_work(api: Api) -> None:
    assert scraped(api)["ractory_http_requests_in_progress", frozenset()] == 1


@pytest.mark.django_db
def test_the_database_is_seen_and_missed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    here = frozenset({("database", "default")})
    series = scraped(api)
    assert series["ractory_database_up", here] == 1
    states = [labels for name, labels in series if name == "ractory_database_connections"]
    if connection.vendor == "postgresql":
        assert series["ractory_database_connections", here | {("state", "active")}] >= 1
        assert series["ractory_database_connections_max", here] >= sum(1 for _ in states)

    def away() -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(connection, "cursor", away)
    series = scraped(api)
    assert series["ractory_database_up", here] == 0
    assert not [name for name, _ in series if name.startswith("ractory_database_connections")]


@pytest.mark.django_db
def test_no_label_holds_anything_of_a_tenant(api: Api, company: Company, key: str) -> None:
    api.with_key(key).get("/api/v1/pieces?search=secret-search")
    api.with_key(key).get(f"/api/v1/pieces/{company.guid}")
    api.credentials()
    text = api.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    assert "secret-search" not in text
    assert company.name not in text
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)
