"""`manage.py rotate_api_key`: a new key beside the old one, for as long as it takes to put it in place."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from ractory.api.tests.client import Api
from tenants.models import ApiKey, Company
from tenants.tests.commands import Manage
from tenants.tests.factories import issue_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def text(company: Company) -> str:
    return issue_key(company, "sync:read", description="Saw 1", networks="127.0.0.0/8")


@pytest.fixture
def old(text: str) -> ApiKey:
    return ApiKey.objects.get()


def status_of(key: str) -> int:
    return int(Api().with_key(key).get("/api/v1/auth/me").status_code)


def test_both_keys_work_until_the_overlap_is_over(manage: Manage, text: str, old: ApiKey) -> None:
    before = timezone.now()
    answer = manage("rotate_api_key", old.guid, "--overlap", "2h", "--json").json
    names = {"guid", "key", "scopes", "company_guid", "expires_at", "replaces", "replaced_until"}
    assert answer.keys() == names
    assert (status_of(text), status_of(answer["key"])) == (200, 200)
    new = ApiKey.objects.get(guid=answer["guid"])
    assert answer["replaces"] == str(old.guid) != answer["guid"]
    for name in ("scopes", "networks", "description", "company", "expires_at"):
        assert getattr(new, name) == getattr(old, name), name
    old.refresh_from_db()
    assert old.revoked_at is None
    assert old.expires_at is not None
    assert before + timedelta(hours=2) <= old.expires_at <= timezone.now() + timedelta(hours=2)


def test_without_an_overlap_it_is_a_day(manage: Manage, old: ApiKey) -> None:
    assert manage("rotate_api_key", old.guid).code == 0
    old.refresh_from_db()
    assert old.expires_at is not None
    assert abs(old.expires_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=5)


def test_an_overlap_of_0_revokes_the_old_key(manage: Manage, text: str, old: ApiKey) -> None:
    answer = manage("rotate_api_key", old.guid, "--overlap", "0", "--json").json
    assert (status_of(text), status_of(answer["key"])) == (401, 200)


def test_an_overlap_does_not_prolong_a_key_and_an_expiry_can_be_given(manage: Manage, old: ApiKey) -> None:
    soon = timezone.now() + timedelta(hours=1)
    ApiKey.objects.update(expires_at=soon)
    same = manage("rotate_api_key", old.guid, "--overlap", "7d", "--json").json["guid"]
    other = manage("rotate_api_key", old.guid, "--overlap", "7d", "--expires", "2999-01-01", "--json").json["guid"]
    expiries = dict(ApiKey.objects.values_list("guid", "expires_at"))
    assert expiries == {
        old.guid: soon,
        uuid.UUID(same): soon,
        uuid.UUID(other): datetime(2999, 1, 1, tzinfo=UTC),
    }


def test_a_person_reads_lines_and_a_warning(manage: Manage, old: ApiKey) -> None:
    outcome = manage("rotate_api_key", old.guid)
    assert outcome.err == ""
    assert [line.split()[0] for line in outcome.out.splitlines()][:2] == ["guid", "key"]
    assert outcome.out.endswith("Keep the key: it is not stored and can't be shown again.\n")


def test_a_key_that_is_not_in_use_can_not_be_rotated(manage: Manage, old: ApiKey) -> None:
    manage("revoke_api_key", old.guid)
    complaint = manage("rotate_api_key", old.guid).complaint
    assert complaint == f"API key {old.guid} is revoked, expired or of an inactive company"
    unknown = uuid.uuid4()
    assert manage("rotate_api_key", unknown).complaint == f"there is no API key {unknown}"
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("overlap", ["", "24", "1w", "-1h", "1.5h", "99999d"])
def test_what_is_no_duration_is_one_clear_line(manage: Manage, old: ApiKey, overlap: str) -> None:
    complaint = manage("rotate_api_key", old.guid, f"--overlap={overlap}").complaint
    assert complaint.endswith(f"not a duration: {overlap!r}; write 90m, 24h, 365d or 0")
    assert ApiKey.objects.count() == 1


def test_a_new_key_does_not_expire_before_it_is_made(manage: Manage, old: ApiKey) -> None:
    complaint = manage("rotate_api_key", old.guid, "--expires", "2020-01-31").complaint
    assert complaint.endswith("argument --expires: not in the future: '2020-01-31'")
    old.refresh_from_db()
    assert (ApiKey.objects.count(), old.expires_at, old.revoked_at) == (1, None, None)


def test_a_key_that_is_rotated_twice_makes_no_key_that_ends_with_it(manage: Manage, old: ApiKey) -> None:
    for _ in range(3):
        made = manage("rotate_api_key", old.guid, "--overlap", "2h", "--json").json
        assert made["expires_at"] is None
    old.refresh_from_db()
    assert old.expires_at is not None
    last = ApiKey.objects.get(guid=made["guid"])
    assert manage("rotate_api_key", last.guid, "--expires", "2999-01-01", "--json").code == 0
    assert manage("rotate_api_key", old.guid, "--json").json["expires_at"].startswith("2999-01-01")
