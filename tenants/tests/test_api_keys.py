"""`/api/v1/api-keys` (contract, "Managing"). Who may not do what is in test_escalation.py."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import ApiKey, Company, User
from tenants.tests.factories import UserFactory, issue_key
from tenants.tests.staff import session_of, text_of

PATH = "/api/v1/api-keys"
NEW = {"description": "Saw 2", "scopes": "sync:write,sync:read"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(company: Company) -> User:
    return UserFactory.create(company=company)


@pytest.fixture
def api(api: Api, admin: User) -> Api:
    """A CompanyAdmin's."""
    return api.with_user(admin)


@pytest.fixture
def stored(company: Company) -> ApiKey:
    issue_key(company, description="stored")
    return ApiKey.objects.get()


def status_of(key: str, method: str = "get") -> int:
    return int(getattr(Api().with_key(key), method)("/api/v1/pieces").status_code)


def test_a_key_is_made_shown_once_and_works(api: Api, company: Company) -> None:
    answer = api.post(PATH, NEW)
    assert answer.status_code == 201
    made = answer.json()
    key = made.pop("key")
    assert status_of(key) == 200
    fields = ("guid", "company_guid", "description", "scopes", "networks", "is_active", "expires_at", "revoked_at")
    assert tuple(made) == (*fields, "last_used_at", "created_at")
    assert (made["scopes"], made["networks"], made["is_active"]) == ("sync:read,sync:write", "", True)
    assert (made["company_guid"], made["expires_at"], made["revoked_at"]) == (str(company.guid), None, None)
    read = api.get(f"{PATH}/{made['guid']}").json()
    assert read["last_used_at"]
    assert read | {"last_used_at": None} == made
    listed = api.get(PATH)
    assert listed.json() == {"api_keys": [read]}
    assert key not in listed.content.decode()


def test_scopes_and_networks_may_be_separated_by_spaces_too(api: Api) -> None:
    made = api.post(PATH, NEW | {"scopes": " sync:read ", "networks": "192.0.2.0/24 2001:db8::/32, 10.0.0.1"}).json()
    assert (made["scopes"], made["networks"]) == ("sync:read", "192.0.2.0/24,2001:db8::/32,10.0.0.1/32")
    assert status_of(made["key"]) == 401  # this is none of them


def test_a_key_expires(api: Api) -> None:
    soon = (timezone.now() + timedelta(hours=1)).isoformat()
    made = api.post(PATH, NEW | {"expires_at": soon}).json()
    assert made["expires_at"].endswith("Z")
    assert status_of(made["key"]) == 200
    assert api.patch(f"{PATH}/{made['guid']}", {"expires_at": None}).json()["expires_at"] is None


def test_an_expired_key_can_be_sent_back_as_it_was_read(api: Api, stored: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    read = api.get(f"{PATH}/{stored.guid}").json()
    assert api.put(f"{PATH}/{stored.guid}", read).json() == read
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("method", ["put", "patch"])
def test_what_a_change_leaves_out_stays(api: Api, stored: ApiKey, method: str) -> None:
    change, path = getattr(api, method), f"{PATH}/{stored.guid}"
    before = api.get(path).json()
    assert change(path, {"description": "Saw 3"}).json() == before | {"description": "Saw 3"}
    assert change(path, {"scopes": "sync:read"}).json()["scopes"] == "sync:read"
    assert change(path, {"networks": "192.0.2.0/24"}).json()["networks"] == "192.0.2.0/24"
    assert change(path, {"networks": ""}).json()["networks"] == ""


def test_a_key_is_switched_off_and_on_again(api: Api) -> None:
    made = api.post(PATH, NEW).json()
    path = f"{PATH}/{made['guid']}"
    assert api.put(path, {"is_active": False}).json()["is_active"] is False
    assert status_of(made["key"]) == 401
    assert api.put(path, {"is_active": True}).json()["is_active"] is True
    assert status_of(made["key"]) == 200


def test_a_deleted_key_is_revoked_for_good(api: Api) -> None:
    made = api.post(PATH, NEW).json()
    path = f"{PATH}/{made['guid']}"
    for _ in range(2):
        assert api.delete(path).status_code == 204
    assert status_of(made["key"]) == 401
    shown = api.get(path).json()
    assert shown["is_active"] is False
    assert shown["revoked_at"]
    assert api.patch(path, {"is_active": True}).status_code == 409
    assert api.patch(path, {"description": "the old one"}).status_code == 200
    assert status_of(made["key"]) == 401


BAD = [
    ({"description": None}, "description", "null"),
    ({"description": "x" * 256}, "description", "max_length"),
    ({"scopes": ""}, "scopes", "blank"),
    ({"scopes": ","}, "scopes", "word_unknown"),
    ({"scopes": "sync:read,admin"}, "scopes", "word_unknown"),
    ({"scopes": ["sync:read"]}, "scopes", "invalid"),
    ({"scopes": "x" * 5000}, "scopes", "word_unknown"),
    ({"networks": "nowhere"}, "networks", "word_unknown"),
    ({"networks": "192.0.2.1/24"}, "networks", "word_unknown"),
    ({"networks": " ".join(f"10.0.0.{number}" for number in range(51))}, "networks", "word_unknown"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "past"),
    ({"expires_at": "soon"}, "expires_at", "invalid"),
    ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at", "overflow"),
    ({"expires_at": 5}, "expires_at", "invalid"),
    ({"is_active": "maybe"}, "is_active", "invalid"),
]


@pytest.mark.parametrize(("wrong", "field", "code"), BAD)
def test_a_bad_value_is_a_422(api: Api, stored: ApiKey, wrong: Any, field: str, code: str) -> None:
    for answer in (api.post(PATH, NEW | wrong), api.patch(f"{PATH}/{stored.guid}", wrong)):
        assert answer.status_code == 422, answer.content
        (fault,) = answer.json()["detail"]
        assert (fault["loc"], fault["type"]) == (["body", field], code)
        assert "x" * 101 not in fault["msg"]
    assert ApiKey.objects.get().description == "stored"


def test_a_rotated_key_and_the_new_one_work_until_the_overlap_is_over(api: Api) -> None:
    old = api.post(PATH, NEW | {"networks": "127.0.0.0/8"}).json()
    answer = api.post(f"{PATH}/{old['guid']}/rotate", {"overlap_hours": 2})
    assert answer.status_code == 201
    new = answer.json()
    same = ("description", "scopes", "networks", "company_guid", "expires_at")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert new["guid"] != old["guid"]
    assert (status_of(old["key"]), status_of(new["key"])) == (200, 200)
    ends = ApiKey.objects.get(guid=old["guid"]).expires_at
    assert ends is not None
    assert timedelta(hours=1, minutes=59) < ends - timezone.now() <= timedelta(hours=2)


def test_a_rotation_without_overlap_ends_the_old_key_at_once(api: Api) -> None:
    old = api.post(PATH, NEW).json()
    new = api.post(f"{PATH}/{old['guid']}/rotate", {"overlap_hours": 0}).json()
    assert (status_of(old["key"]), status_of(new["key"])) == (401, 200)
    assert api.post(f"{PATH}/{old['guid']}/rotate", {}).status_code == 409


def test_a_rotation_leaves_a_day_unless_told(api: Api, stored: ApiKey) -> None:
    assert api.post(f"{PATH}/{stored.guid}/rotate", {}).status_code == 201
    stored.refresh_from_db()
    assert stored.expires_at is not None
    assert timedelta(hours=23, minutes=59) < stored.expires_at - timezone.now() <= timedelta(days=1)


@pytest.mark.parametrize("hours", [-1, 10**9, "x", None, []])
def test_an_overlap_that_is_none_is_a_422(api: Api, stored: ApiKey, hours: Any) -> None:
    answer = api.post(f"{PATH}/{stored.guid}/rotate", {"overlap_hours": hours})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "overlap_hours"])
    assert ApiKey.objects.count() == 1


def test_a_system_admin_names_the_company(company: Company, other_company: Company) -> None:
    root = Api().with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    assert root.post(PATH, NEW).status_code == 422
    assert root.post(PATH, NEW | {"company_guid": str(company.guid)}).json()["company_guid"] == str(company.guid)
    made = root.post(f"{PATH}?company_guid={other_company.guid}", NEW).json()
    assert made["company_guid"] == str(other_company.guid)
    assert len(root.get(PATH).json()["api_keys"]) == 2
    assert [one["guid"] for one in root.get(f"{PATH}?company_guid={other_company.guid}").json()["api_keys"]] == [
        made["guid"]
    ]


def test_a_list_is_paged_by_links(api: Api, company: Company) -> None:
    for _ in range(3):
        issue_key(company)
    first = api.get(f"{PATH}?limit=2")
    assert len(first.json()["api_keys"]) == 2
    path = first.headers["Link"].partition(">")[0].removeprefix("<http://testserver")
    assert len(api.get(path).json()["api_keys"]) == 1


def test_each_change_is_recorded_and_shown_to_staff(api: Api, admin: User) -> None:
    old = api.post(PATH, NEW).json()
    new = api.post(f"{PATH}/{old['guid']}/rotate", {}).json()
    api.patch(f"{PATH}/{new['guid']}", {"scopes": "sync:read"})
    api.delete(f"{PATH}/{new['guid']}")
    said = {
        old["guid"]: ["Created by the API.", f"Rotated by the API: {new['guid']} takes its place."],
        new["guid"]: [
            f"Created by the API in place of {old['guid']}.",
            "Changed by the API: scopes: sync:read sync:write → sync:read",
            "Revoked by the API.",
        ],
    }
    for guid, notes in said.items():
        rows = LogEntry.objects.filter(object_id=guid).order_by("pk")
        assert [(row.change_message, row.user_id) for row in rows] == [(note, admin.guid) for note in notes]
        history = text_of(session_of(admin).get(f"/admin/tenants/apikey/{guid}/history/"))
        assert all(note in history for note in notes)


def test_staff_see_and_end_that_a_key_is_switched_off(api: Api, admin: User, stored: ApiKey) -> None:
    api.patch(f"{PATH}/{stored.guid}", {"is_active": False})
    staff = session_of(admin)
    assert "switched off" in text_of(staff.get("/admin/tenants/apikey/"))
    staff.post(f"/admin/tenants/apikey/{stored.guid}/change/", {"description": "stored", "is_active": "on"})
    stored.refresh_from_db()
    assert stored.is_usable(timezone.now())
