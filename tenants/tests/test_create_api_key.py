"""`manage.py create_api_key` and `manage.py revoke_api_key` (contract, "manage.py")."""

import uuid
from datetime import UTC, datetime

import pytest

from ractory.api.tests.client import Api
from tenants.models import ApiKey, Company
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db


def test_it_prints_one_json_object_with_a_key_that_works(manage: Manage, api: Api, company: Company) -> None:
    answer = manage("create_api_key", "--company", company.guid, "--scopes", "sync:write,sync:read", "--json").json
    assert answer.keys() == {"guid", "key", "scopes", "company_guid"}
    assert answer["guid"] == str(ApiKey.objects.get().guid)
    assert (answer["scopes"], answer["company_guid"]) == ("sync:read sync:write", str(company.guid))
    me = api.with_key(answer["key"]).get("/api/v1/auth/me")
    assert (me.status_code, me.json()["guid"]) == (200, answer["guid"])


def test_it_prints_lines_for_a_person_and_a_warning(manage: Manage, company: Company) -> None:
    outcome = manage("create_api_key", "--company", company.guid, "--scopes", "sync:read")
    assert (outcome.code, outcome.err) == (0, "")
    names = [line.split()[0] for line in outcome.out.splitlines()]
    assert names == ["guid", "key", "scopes", "company_guid", "Keep"]


def test_description_and_expiry_are_stored(manage: Manage, company: Company) -> None:
    common = ("create_api_key", "--company", company.guid, "--scopes", "sync:read", "--description", "Line 4")
    for given, stored in {
        "2030-01-31": datetime(2030, 1, 31, tzinfo=UTC),
        "2030-01-31T12:00:00+02:00": datetime(2030, 1, 31, 10, tzinfo=UTC),
        "2030-01-31T12:00:00Z": datetime(2030, 1, 31, 12, tzinfo=UTC),
    }.items():
        key = ApiKey.objects.get(guid=manage(*common, "--expires", given, "--json").json["guid"])
        assert (key.description, key.expires_at) == ("Line 4", stored)


def test_networks_are_stored_as_the_key_is_held_to_them(manage: Manage, company: Company) -> None:
    common = ("create_api_key", "--company", company.guid, "--scopes", "sync:read")
    manage(*common, "--networks", "192.0.2.7, 2001:DB8::/32")
    assert ApiKey.objects.get().networks == "192.0.2.7/32 2001:db8::/32"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scopes", "sync:read", "--company", "5"], "argument --company: not a UUID: '5'"),
        (["--scopes", "sync:all,sync:read"], "unknown scope 'sync:all'; known: sync:read, sync:write"),
        (["--scopes", ""], "unknown scope ''; known: sync:read, sync:write"),
        (["--scopes", ","], "unknown scope ''; known: sync:read, sync:write"),
        (["--scopes", "sync:read", "--expires", "soon"], "not an ISO 8601 date or time: 'soon'"),
        (["--scopes", "sync:read", "--expires", "0001-01-01T00:00+14:00"], "'0001-01-01T00:00+14:00'"),
        (["--scopes", "sync:read", "--expires", "2020-01-31"], "argument --expires: not in the future: '2020-01-31'"),
        (["--scopes", "sync:read", "--description", "x" * 256], "a key's description has at most 255 characters"),
        (["--scopes", "sync:read", "--description", "\udcff"], "not plain text: '\\udcff'"),
        (["--scopes", "sync:read", "--networks", "192.0.2.1/24"], "the network is 192.0.2.0/24"),
        ([], "the following arguments are required: --scopes"),
    ],
)
def test_a_bad_argument_is_one_clear_line(
    manage: Manage, company: Company, arguments: list[str], complaint: str
) -> None:
    assert manage("create_api_key", "--company", company.guid, *arguments).complaint.endswith(complaint)
    assert not ApiKey.objects.exists()


def test_an_unknown_company_is_named(manage: Manage) -> None:
    unknown = uuid.uuid4()
    assert manage("create_api_key", "--company", unknown, "--scopes", "sync:read").complaint == (
        f"there is no company {unknown}"
    )


def test_a_revoked_key_gets_401_from_then_on(manage: Manage, api: Api, key: str) -> None:
    stored = ApiKey.objects.get()
    assert api.with_key(key).get("/api/v1/auth/me").status_code == 200
    answer = manage("revoke_api_key", stored.guid, "--json").json
    assert (answer["guid"], answer["company_guid"]) == (str(stored.guid), str(stored.company_guid))
    assert api.get("/api/v1/auth/me").status_code == 401


def test_revoking_again_keeps_the_first_moment(manage: Manage, key: str) -> None:
    stored = ApiKey.objects.get()
    first, second = (manage("revoke_api_key", stored.guid, "--json").json["revoked_at"] for _ in range(2))
    assert first == second


def test_revoking_touches_no_other_key(manage: Manage, api: Api, key: str, company: Company) -> None:
    other, _ = ApiKey.issue(company=company, scopes=["sync:read"])
    assert manage("revoke_api_key", other.guid).code == 0
    assert api.with_key(key).get("/api/v1/auth/me").status_code == 200


def test_revoking_an_unknown_key_is_one_clear_line(manage: Manage) -> None:
    unknown = uuid.uuid4()
    assert manage("revoke_api_key", unknown).complaint == f"there is no API key {unknown}"
    assert manage("revoke_api_key", "rfk_x").complaint.endswith("argument GUID: not a UUID: 'rfk_x'")
    assert manage("revoke_api_key").complaint.endswith("the following arguments are required: GUID")
