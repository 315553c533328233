"""`/api/v1/companies` (contract, "Managing")."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.factories import CompanyFactory, UserFactory
from tenants.tests.staff import session_of, text_of

PATH = "/api/v1/companies"

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(db: None) -> User:
    return UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)


@pytest.fixture
def api(api: Api, root: User) -> Api:
    return api.with_user(root)


def test_a_company_is_made_and_read_back(api: Api) -> None:
    answer = api.post(PATH, {"name": " Fenster & Söhne ", "short_name": "F&S"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["short_name"], made["is_active"]) == ("Fenster & Söhne", "F&S", True)
    assert set(made) == {"guid", "name", "short_name", "is_active", "created_at"}
    assert made["created_at"].endswith("Z")
    assert api.get(f"{PATH}/{made['guid']}").json() == made
    assert made in api.get(PATH).json()


def test_what_is_not_sent_has_its_default(api: Api) -> None:
    made = api.post(PATH, {"name": "Plain"}).json()
    assert (made["short_name"], made["is_active"]) == (None, True)
    assert api.post(PATH, {"name": "Off", "is_active": False}).json()["is_active"] is False


def test_a_name_twice_is_a_409(api: Api, company: Company) -> None:
    answer = api.post(PATH, {"name": company.name})
    assert (answer.status_code, answer.json()) == (409, {"detail": f'There is a company "{company.name}" already.'})
    other = CompanyFactory.create()
    for method in (api.put, api.patch):
        assert method(f"{PATH}/{other.guid}", {"name": company.name}).status_code == 409
    assert Company.objects.filter(name=company.name).count() == 1


def test_companies_that_share_a_name_already_can_be_changed(api: Api, company: Company) -> None:
    """Commands, and the way over from an old server, make them."""
    twin = CompanyFactory.create(name=company.name)
    assert api.patch(f"{PATH}/{twin.guid}", {"name": twin.name, "short_name": "T"}).status_code == 200


@pytest.mark.parametrize("method", ["put", "patch"])
def test_what_a_change_leaves_out_stays(api: Api, method: str) -> None:
    made = api.post(PATH, {"name": "A", "short_name": "a"}).json()
    changed = getattr(api, method)(f"{PATH}/{made['guid']}", {"name": "B"})
    assert (changed.status_code, changed.json()) == (200, made | {"name": "B"})
    assert getattr(api, method)(f"{PATH}/{made['guid']}", {"short_name": None}).json()["short_name"] is None
    assert getattr(api, method)(f"{PATH}/{made['guid']}", {}).status_code == 200


def test_what_was_read_may_be_sent_back(api: Api, company: Company) -> None:
    read = api.get(f"{PATH}/{company.guid}").json()
    assert api.put(f"{PATH}/{company.guid}", read).json() == read


@pytest.mark.parametrize("way", ["delete", "patch"])
def test_switching_off_ends_its_users_sessions_and_keys_for_good(
    api: Api, company: Company, key: str, way: str
) -> None:
    session = Api().with_user(UserFactory.create(company=company))
    if way == "delete":
        assert api.delete(f"{PATH}/{company.guid}").status_code == 204
        assert api.delete(f"{PATH}/{company.guid}").status_code == 204
    else:
        assert api.patch(f"{PATH}/{company.guid}", {"is_active": False}).json()["is_active"] is False
    assert session.get("/api/v1/pieces").status_code == 401
    assert Api().with_key(key).get("/api/v1/pieces").status_code == 401
    assert api.patch(f"{PATH}/{company.guid}", {"is_active": True}).status_code == 200
    assert session.get("/api/v1/pieces").status_code == 401  # they log in again
    assert Api().with_key(key).get("/api/v1/pieces").status_code == 200


BAD = [
    ({}, "name", "required"),
    ({"name": None}, "name", "null"),
    ({"name": " "}, "name", "blank"),
    ({"name": []}, "name", "invalid"),
    ({"name": "x" * 256}, "name", "max_length"),
    ({"name": "a\0b"}, "name", "null_characters_not_allowed"),
    ({"name": "x", "short_name": "x" * 51}, "short_name", "max_length"),
    ({"name": "x", "is_active": "maybe"}, "is_active", "invalid"),
    ({"name": "x", "is_active": {}}, "is_active", "invalid"),
]


@pytest.mark.parametrize(("body", "field", "code"), BAD)
def test_a_bad_value_is_a_422(api: Api, body: Any, field: str, code: str) -> None:
    answer = api.post(PATH, body)
    assert answer.status_code == 422
    assert [(fault["loc"], fault["type"]) for fault in answer.json()["detail"]] == [(["body", field], code)]
    assert not Company.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"name": "\\ud800"}', 400), (b'{"name": NaN}', 400), (b'{"name": "x"', 400)],
)
def test_what_is_no_json_object_is_a_400(api: Api, body: bytes, status: int) -> None:
    assert api.post_raw(PATH, body).status_code == status


def test_a_body_has_its_bounds_and_its_type(api: Api) -> None:
    assert api.post_raw(PATH, b'{"name": "%s"}' % (b"x" * 70_000)).status_code == 413
    assert api.post_raw(PATH, b"name=x", content_type="application/x-www-form-urlencoded").status_code == 415


def test_a_guid_that_is_none_and_one_that_nobody_has_are_404s(api: Api, company: Company) -> None:
    for guid in ("x", "%00", str(company.guid).replace("0", "1"), "x" * 5000):
        for method in ("get", "put", "patch", "delete"):
            answer = getattr(api, method)(f"{PATH}/{guid}", **({} if method in ("get", "delete") else {"data": {}}))
            assert answer.status_code == 404, (guid, method)


def test_a_list_is_paged_by_links(api: Api) -> None:
    made = {str(CompanyFactory.create().guid) for _ in range(5)}
    seen: list[str] = []
    path = f"{PATH}?limit=2&count=true"
    while path:
        answer = api.get(path)
        seen += [one["guid"] for one in answer.json()]
        assert answer.headers["X-Total-Count"] == "5"
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<http://testserver")
    assert (len(seen), set(seen)) == (5, made)
    assert [one["guid"] for one in api.get(f"{PATH}?offset=3&limit=9").json()] == seen[3:]
    assert api.get(f"{PATH}?limit=0").status_code == 422


def test_a_company_admin_reads_the_own_company_and_writes_none(company: Company, other_company: Company) -> None:
    api = Api().with_user(UserFactory.create(company=company))
    assert [one["guid"] for one in api.get(PATH).json()] == [str(company.guid)]
    assert api.get(f"{PATH}/{company.guid}").json()["name"] == company.name
    assert api.get(f"{PATH}/{other_company.guid}").status_code == 404
    assert api.post(PATH, {"name": "Mine"}).status_code == 403
    for guid in (company.guid, other_company.guid):
        for answer in (api.put(f"{PATH}/{guid}", {}), api.patch(f"{PATH}/{guid}", {}), api.delete(f"{PATH}/{guid}")):
            assert answer.status_code == 403


def test_a_system_admin_may_look_at_one_company(api: Api, company: Company, other_company: Company) -> None:
    assert [one["guid"] for one in api.get(f"{PATH}?company_guid={company.guid}").json()] == [str(company.guid)]
    assert api.delete(f"{PATH}/{other_company.guid}?company_guid={company.guid}").status_code == 404
    assert api.post(f"{PATH}?company_guid={company.guid}", {"name": "New"}).status_code == 201


def test_each_change_is_recorded_and_shown_to_staff(api: Api, root: User) -> None:
    guid = api.post(PATH, {"name": "A"}).json()["guid"]
    api.patch(f"{PATH}/{guid}", {"name": "B", "short_name": "b"})
    api.patch(f"{PATH}/{guid}", {"name": "B"})  # changes nothing
    api.delete(f"{PATH}/{guid}")
    said = [
        "Created by the API.",
        "Changed by the API: name: A → B; short_name: None → b",
        "Switched off by the API.",
    ]
    notes = LogEntry.objects.filter(object_id=guid).order_by("pk")
    assert [(note.change_message, note.user_id) for note in notes] == [(one, root.guid) for one in said]
    history = text_of(session_of(root).get(f"/admin/tenants/company/{guid}/history/"))
    assert all(one in history for one in said)
    assert root.email in history


def test_a_refused_change_leaves_no_record(api: Api, company: Company) -> None:
    api.post(PATH, {"name": company.name})
    api.patch(f"{PATH}/{company.guid}", {"name": ""})
    assert not LogEntry.objects.exists()


def test_options_tell_what_may_be_sent(api: Api, company: Company) -> None:
    for path in (PATH, f"{PATH}/{company.guid}"):
        assert api.options(path).status_code == 200
