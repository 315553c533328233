"""Two hosts on one database: a client that is served by both, in turn, can't tell them from one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import global_settings
from django.test import override_settings

from pieces.tests.factories import ProjectFactory
from ractory.tests.live import Answer, call
from ractory.tests.served import Served, served
from tenants.models import ApiKey, Company, User
from tenants.tests.factories import PASSWORD, CompanyFactory, UserFactory, issue_key

Hosts = tuple[Served, Served]


@pytest.fixture(scope="module")
def hosts(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    logs = tmp_path_factory.mktemp("hosts")
    with served(logs / "one") as one, served(logs / "two") as other:
        yield one, other


@pytest.fixture
def company(transactional_db: None) -> Company:
    return CompanyFactory.create()


@pytest.fixture
def key(company: Company) -> str:
    return issue_key(company)


@pytest.fixture
def admin(company: Company) -> User:
    with override_settings(PASSWORD_HASHERS=global_settings.PASSWORD_HASHERS):  # the hosts know nothing of the tests'
        return UserFactory.create(company=company)


def login(host: Served, user: User) -> Answer:
    return call(host.port, "POST", "/api/v1/auth/login", {"email": user.email, "password": PASSWORD})


def test_a_login_at_one_is_a_login_at_the_other(hosts: Hosts, admin: User) -> None:
    one, other = hosts
    first = login(one, admin).json
    me = call(other.port, "GET", "/api/v1/auth/me", Authorization=f"Bearer {first['access_token']}")
    assert (me.status, me.json["email"]) == (200, admin.email)
    refreshed = call(other.port, "POST", "/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert refreshed.status == 200
    used = call(one.port, "POST", "/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert used.status == 401


def test_a_key_revoked_is_revoked_at_both(hosts: Hosts, company: Company, key: str) -> None:
    for host in hosts:
        assert call(host.port, "GET", "/api/v1/projects", X_API_Key=key).status == 200
    ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    for host in hosts:
        assert call(host.port, "GET", "/api/v1/projects", X_API_Key=key).status == 401


def test_a_batch_sent_again_to_the_other_is_replayed_and_has_its_receipt(
    hosts: Hosts, company: Company, key: str
) -> None:
    one, other = hosts
    body = {"projects": [{"code": "P-1", "company_guid": str(company.guid)}]}
    written = call(one.port, "POST", "/api/v1/sync/projects", body, X_API_Key=key, Idempotency_Key="batch-1")
    again = call(other.port, "POST", "/api/v1/sync/projects", body, X_API_Key=key, Idempotency_Key="batch-1")
    assert (written.status, again.status) == (200, 200)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (written.body, "true")
    run = written.headers["X-Sync-Run"]
    receipts = [call(host.port, "GET", f"/api/v1/sync/runs/{run}", X_API_Key=key).json for host in hosts]
    assert receipts[0] == receipts[1]
    assert receipts[0]["inserted"] == 1


def test_a_list_that_begins_at_one_goes_on_at_the_other(hosts: Hosts, company: Company, key: str) -> None:
    made = {str(ProjectFactory.create(company=company).guid) for _ in range(3)}
    path, seen = "/api/v1/projects?limit=1", []
    for host in (*hosts, hosts[0]):
        page = call(host.port, "GET", path, X_API_Key=key)
        seen += [project["guid"] for project in page.json]
        link = re.search(r"http://[^/]+(/[^>]+)", page.headers.get("Link", ""))
        path = link[1] if link else ""
    assert (sorted(seen), path) == (sorted(made), "")


def test_a_session_of_the_admin_goes_from_one_to_the_other(hosts: Hosts, admin: User) -> None:
    one, other = hosts
    form = call(one.port, "GET", "/admin/login/")
    cookies = dict(re.findall(r"(csrftoken)=(\w+)", form.headers["Set-Cookie"]))
    field = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', form.body)
    assert field
    sent = f"csrfmiddlewaretoken={field[1].decode()}&username={admin.email}&password={PASSWORD.replace(' ', '+')}"
    answer = call(
        other.port,
        "POST",
        "/admin/login/",
        sent.encode(),
        Content_Type="application/x-www-form-urlencoded",
        Cookie=f"csrftoken={cookies['csrftoken']}",
    )
    assert answer.status == 302, answer.body
    session = re.search(r"sessionid=\w+", " ".join(answer.headers.get_all("Set-Cookie", [])))
    assert session
    for host in hosts:
        assert call(host.port, "GET", "/admin/", Cookie=session[0]).status == 200


def test_requests_are_counted_over_both(transactional_db: None, key: str, tmp_path: Path) -> None:
    limits = {"THROTTLE_REQUESTS": "5/day"}
    with served(tmp_path / "one", **limits) as one, served(tmp_path / "two", **limits) as other:
        turns = [one, other] * 4
        statuses = [call(host.port, "GET", "/api/v1/projects", X_API_Key=key).status for host in turns]
    assert statuses == [200] * 5 + [429] * 3


def test_both_have_the_same_files(hosts: Hosts) -> None:
    page = call(hosts[0].port, "GET", "/admin/login/").body.decode()
    for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
        files = [call(host.port, "GET", path) for host in hosts]
        assert [file.status for file in files] == [200, 200], path
        assert files[0].body == files[1].body
