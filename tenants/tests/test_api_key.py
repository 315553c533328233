"""API keys as credentials: both headers, what ends a key, and what a look-up costs."""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from ractory.api.tests.client import Api
from tenants.models import ApiKey, Company
from tenants.tests.factories import UserFactory, issue_key

PATH = "/api/v1/auth/me"

pytestmark = pytest.mark.django_db


def me(api: Api, **headers: str) -> Any:
    return api.get(PATH, headers={name.replace("_", "-"): value for name, value in headers.items()})


def refused(response: Any) -> None:
    assert response.status_code == 401
    detail = "The API key is unknown, expired, revoked, of an inactive company, or not for use from this address."
    assert response.json() == {"detail": detail}
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="ractory", ApiKey realm="ractory"'


@pytest.mark.parametrize("scheme", ["ApiKey", "apikey", "APIKEY"])
def test_either_header_carries_the_key(api: Api, company: Company, key: str, scheme: str) -> None:
    for response in (me(api, X_API_Key=key), me(api, Authorization=f"{scheme} {key}")):
        assert response.status_code == 200
        assert response.json()["company_guid"] == str(company.guid)


def test_x_api_key_goes_before_authorization(api: Api, key: str, other_company: Company) -> None:
    other = issue_key(other_company)
    both = me(api, X_API_Key=other, Authorization=f"ApiKey {key}").json()
    assert both["company_guid"] == str(other_company.guid)
    refused(me(api, X_API_Key="rfk_wrong", Authorization=f"ApiKey {key}"))


def test_a_key_has_32_random_characters_of_62_and_is_never_the_same(company: Company) -> None:
    keys = {issue_key(company) for _ in range(20)}
    assert len(keys) == 20
    assert all(re.fullmatch(r"rfk_[0-9A-Za-z]{38}", text) for text in keys)  # the last 6: a checksum


def test_only_the_digest_of_a_key_is_stored(company: Company) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        text = issue_key(company)
    stored = ApiKey.objects.values_list().get()
    assert hashlib.sha256(text.encode()).hexdigest() in stored
    secret = text.removeprefix("rfk_")[:32]
    assert not any(secret in str(value) for value in stored)
    assert not any(secret in query["sql"] for query in queries)


def test_a_revoked_key_is_refused(api: Api, key: str) -> None:
    ApiKey.objects.update(revoked_at=timezone.now())
    refused(me(api, X_API_Key=key))


def test_a_key_is_refused_from_the_moment_it_expires(api: Api, company: Company) -> None:
    now = timezone.now()
    assert me(api, X_API_Key=issue_key(company, expires_at=now + timedelta(hours=1))).status_code == 200
    refused(me(api, X_API_Key=issue_key(company, expires_at=now)))
    key = ApiKey.objects.get(expires_at=now)
    assert key.is_usable(now - timedelta(microseconds=1))
    assert not key.is_usable(now)


def test_a_key_of_an_inactive_company_is_refused(api: Api, company: Company, key: str) -> None:
    assert me(api, X_API_Key=key).status_code == 200
    company.is_active = False
    company.save()
    refused(me(api, X_API_Key=key))


def test_a_well_formed_key_that_nobody_issued_is_refused(api: Api, key: str) -> None:
    ApiKey.objects.all().delete()
    refused(me(api, X_API_Key=key))


@pytest.mark.parametrize("position", [4, 20, 36, 41])
def test_a_typo_is_refused_without_a_query(
    api: Api, key: str, position: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    typo = "a" if key[position] != "a" else "b"
    with django_assert_num_queries(0):
        refused(me(api, X_API_Key=key[:position] + typo + key[position + 1 :]))


@pytest.mark.parametrize("text", ["", "rfk_", "x", "rfk_" + "é" * 38, "rfk_\0", "rfk_" + "a" * 38, "a" * 5000])
def test_what_is_no_key_is_refused_without_a_query(
    api: Api, text: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        refused(me(api, X_API_Key=text))
        refused(me(api, Authorization=f"ApiKey {text}"))


def test_a_user_s_token_is_no_key(api: Api, key: str) -> None:
    refused(me(api, X_API_Key=UserFactory.create().password))
    assert me(api, Authorization=f"Bearer {key}").status_code == 401


@pytest.mark.parametrize("others", [0, 200])
def test_a_key_costs_one_query_whatever_the_number_of_keys(
    api: Api, company: Company, key: str, others: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ApiKey.objects.bulk_create(
        ApiKey(company=company, digest=ApiKey.digest_of(str(number)), scopes="sync:read") for number in range(others)
    )
    with django_assert_num_queries(1):
        assert me(api, X_API_Key=key).status_code == 200


def test_an_unknown_scope_is_never_issued(company: Company) -> None:
    with pytest.raises(ValueError, match="sync:delete"):
        issue_key(company, "sync:delete")
    assert not ApiKey.objects.exists()


def test_the_use_of_a_key_is_noted_once_a_minute(api: Api, key: str) -> None:
    def used(ago: timedelta | None) -> tuple[datetime | None, datetime | None]:
        before = None if ago is None else timezone.now() - ago
        ApiKey.objects.update(last_used_at=before)
        assert api.with_key(key).get(PATH).status_code == 200
        return before, ApiKey.objects.get().last_used_at

    before, after = used(timedelta(seconds=30))
    assert after == before
    for ago in (None, timedelta(minutes=2)):
        before, after = used(ago)
        assert after is not None
        assert before is None or after > before


def test_a_refused_key_is_not_noted_as_used(api: Api, company: Company) -> None:
    text = issue_key(company, expires_at=timezone.now() - timedelta(days=1))
    ApiKey.objects.update(last_used_at=None)
    assert api.with_key(text).get(PATH).status_code == 401
    assert ApiKey.objects.get().last_used_at is None
