"""API keys in the admin: shown once, rotated with an overlap, revoked; those of the own company."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from ractory.api.tests.client import Api
from tenants.models import ApiKey, Company
from tenants.tests.factories import issue_key
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST, ADD = "/admin/tenants/apikey/", "/admin/tenants/apikey/add/"
SECRET = re.compile(r"rfk_\w{38}")


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def form(**fields: Any) -> dict[str, Any]:
    return {"guid": str(uuid4()), "description": "Saw 2", "scopes": ["sync:read"]} | fields


def rotation(hours: str) -> dict[str, str]:
    return {"guid": str(uuid4()), "overlap": hours}


def text_in(response: Any) -> str:
    """The key that this page shows."""
    found = SECRET.search(response.content.decode())
    assert found
    return found.group()


def status_of(key: str) -> int:
    return int(Api().with_key(key).get("/api/v1/pieces").status_code)


def test_a_key_is_shown_once_with_a_curl_that_works(staff: Client, company: Company) -> None:
    answer = staff.post(ADD, form())
    key = text_in(answer)
    assert f"curl -sS &#x27;http://testserver/api/v1/projects?limit=5&#x27; -H &#x27;X-API-Key: {key}&#x27;" in (
        answer.content.decode()
    )
    assert "no-store" in answer["Cache-Control"]
    assert status_of(key) == 200
    stored = ApiKey.objects.get()
    assert (stored.company, stored.scopes, stored.description, stored.expires_at) == (
        company,
        "sync:read",
        "Saw 2",
        None,
    )
    for path in (LIST, f"{LIST}{stored.guid}/change/"):
        page = staff.get(path).content.decode()
        assert "Saw 2" in page
        assert not SECRET.search(page)
    assert LogEntry.objects.get().object_id == str(stored.guid)


def test_a_key_lasts_to_the_end_of_its_last_day(staff: Client) -> None:
    staff.post(ADD, form(last_day="2999-12-30"))
    assert ApiKey.objects.get().expires_at == datetime(2999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["sync:everything"]}, "not one of the available choices"),
        ({"last_day": "2020-01-01"}, "This day is over."),
        ({"description": "x" * 256}, "at most 255 characters"),
        ({"networks": "192.0.2.0/24\nfactory"}, "Not an address or network: 'factory'"),
        ({"networks": "192.0.2.1/24"}, "the network is 192.0.2.0/24."),
    ],
)
def test_a_bad_form_makes_no_key(staff: Client, fields: dict[str, Any], said: str) -> None:
    assert said in text_of(staff.post(ADD, form(**fields)))
    assert not ApiKey.objects.exists()


def test_another_company_can_not_be_chosen(staff: Client, company: Company, other_company: Company) -> None:
    staff.post(ADD, form(company=str(other_company.guid)))
    assert ApiKey.objects.get().company == company


def test_a_system_admin_says_for_whom(company: Company) -> None:
    root = system_admin()
    assert "This field is required" in text_of(root.post(ADD, form()))
    root.post(ADD, form(company=str(company.guid)))
    assert ApiKey.objects.get().company == company


def test_a_rotated_key_ends_at_once(staff: Client, company: Company) -> None:
    old_text = issue_key(company, "sync:read", description="Saw 1")
    old = ApiKey.objects.get()
    answer = staff.post(f"{LIST}{old.guid}/rotate/", rotation("0"))
    assert (status_of(old_text), status_of(text_in(answer))) == (401, 200)
    new = ApiKey.objects.exclude(guid=old.guid).get()
    assert (new.scopes, new.description, new.company) == ("sync:read", "Saw 1", company)


def test_a_rotated_key_ends_after_the_overlap(staff: Client, company: Company) -> None:
    old_text = issue_key(company)
    old = ApiKey.objects.get()
    shown = staff.get(f"{LIST}{old.guid}/rotate/").content.decode()
    assert re.search(r'value="24"[^>]* checked', shown)
    answer = staff.post(f"{LIST}{old.guid}/rotate/", rotation("24"))
    assert (status_of(old_text), status_of(text_in(answer))) == (200, 200)
    old.refresh_from_db()
    assert old.expires_at is not None
    assert abs(old.expires_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)


def test_an_overlap_does_not_prolong_a_key(staff: Client, company: Company) -> None:
    soon = timezone.now() + timedelta(hours=2)
    issue_key(company, expires_at=soon)
    old = ApiKey.objects.get()
    staff.post(f"{LIST}{old.guid}/rotate/", rotation("168"))
    old.refresh_from_db()
    assert old.expires_at == soon


def test_a_revoked_key_gets_401_and_stays_listed(staff: Client, company: Company) -> None:
    text = issue_key(company, description="Saw 1")
    key = ApiKey.objects.get()
    assert "This can't be undone" in text_of(staff.get(f"{LIST}{key.guid}/revoke/"))
    assert status_of(text) == 200
    staff.post(f"{LIST}{key.guid}/revoke/")
    assert status_of(text) == 401
    assert "Saw 1 sync:read sync:write revoked" in text_of(staff.get(LIST))
    for page in ("rotate/", "revoke/"):
        for refused in (staff.get(f"{LIST}{key.guid}/{page}"), staff.post(f"{LIST}{key.guid}/{page}", rotation("0"))):
            assert refused.status_code == 409
            assert "The key Saw 1 has been revoked" in refused.content.decode()
            assert f'href="{LIST}"' in refused.content.decode()


def test_a_form_that_is_sent_twice_makes_one_key(staff: Client, company: Company) -> None:
    shown = re.search(r'name="guid" value="([^"]+)"', staff.get(ADD).content.decode())
    assert shown
    made = form(guid=shown[1])
    assert status_of(text_in(staff.post(ADD, made))) == 200
    key = ApiKey.objects.get()
    rotate, twice = f"{LIST}{key.guid}/rotate/", rotation("24")
    assert status_of(text_in(staff.post(rotate, twice))) == 200
    for path, fields in ((ADD, made), (rotate, twice)):
        again = text_of(staff.post(path, fields))
        assert "No second key was made, and the key can't be shown again." in again
        assert not SECRET.search(again)
    assert ApiKey.objects.count() == 2


def test_the_guid_of_another_s_key_makes_none(staff: Client, other_company: Company) -> None:
    issue_key(other_company, description="Theirs")
    answer = staff.post(ADD, form(guid=str(ApiKey.objects.get().guid)))
    assert answer.status_code == 404
    assert (ApiKey.objects.get().company, ApiKey.objects.get().description) == (other_company, "Theirs")


def test_a_key_s_history_has_as_many_pages_as_it_has(staff: Client) -> None:
    staff.post(ADD, form())
    history = f"{LIST}{ApiKey.objects.get().guid}/history/"
    assert "Created." in text_of(staff.get(history))
    assert "10000" not in text_of(staff.get(history))
    assert 'rel="next"' not in staff.get(history).content.decode()
    assert "That is all." in text_of(staff.get(history, {"p": "2"}))


@pytest.mark.parametrize("page", ["change/", "rotate/", "revoke/", "history/", "delete/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_keys_of_others_are_out_of_reach(staff: Client, other_company: Company, page: str, method: str) -> None:
    text = issue_key(other_company, description="Theirs")
    key = ApiKey.objects.get()
    answer = getattr(staff, method)(f"{LIST}{key.guid}/{page}", {"overlap": "0", "description": "Mine"})
    assert answer.status_code in (302, 403, 404)
    assert "Theirs" not in text_of(staff.get(LIST))
    key.refresh_from_db()
    assert (status_of(text), key.description, ApiKey.objects.count()) == (200, "Theirs", 1)


def test_a_description_can_be_changed_scopes_can_not(staff: Client, company: Company) -> None:
    issue_key(company, "sync:read", description="Saw 1")
    key = ApiKey.objects.get()
    staff.post(f"{LIST}{key.guid}/change/", {"description": "Saw 3", "scopes": "sync:write"})
    key.refresh_from_db()
    assert (key.description, key.scopes) == ("Saw 3", "sync:read")


def test_networks_are_given_changed_and_kept_by_a_rotation(staff: Client) -> None:
    text = text_in(staff.post(ADD, form(networks="127.0.0.0/8\r\n2001:db8::/32")))
    key = ApiKey.objects.get()
    assert (key.networks, status_of(text)) == ("127.0.0.0/8 2001:db8::/32", 200)
    page = staff.get(f"{LIST}{key.guid}/change/").content.decode()
    assert "127.0.0.0/8 2001:db8::/32</textarea>" in page
    change = {"description": "Saw 2", "networks": "192.0.2.0/24"}
    assert staff.post(f"{LIST}{key.guid}/change/", change).status_code == 302
    key.refresh_from_db()
    assert (key.networks, key.scopes, status_of(text)) == ("192.0.2.0/24", "sync:read", 401)
    assert "the network is" in text_of(staff.post(f"{LIST}{key.guid}/change/", change | {"networks": "192.0.2.1/24"}))
    staff.post(f"{LIST}{key.guid}/rotate/", rotation("24"))
    assert set(ApiKey.objects.values_list("networks", flat=True)) == {"192.0.2.0/24"}
    ApiKey.objects.update(revoked_at=timezone.now())
    assert "192.0.2.0/24" in text_of(staff.get(f"{LIST}{key.guid}/change/"))
