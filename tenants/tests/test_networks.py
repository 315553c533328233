"""Networks of a key: how they are written, and that the key is good nowhere else."""

import logging
from typing import Any

import pytest
from django.test import override_settings

from ractory.api.tests.client import Api
from tenants.models import ApiKey, Company
from tenants.networks import MAX_LENGTH, MAX_NETWORKS, networks_in
from tenants.tests.factories import issue_key

PATH = "/api/v1/auth/me"


def test_networks_are_read_from_any_list_each_once() -> None:
    text = " 192.0.2.0/24,2001:db8::/32\n 198.51.100.7 ,\t192.0.2.0/24 "
    assert list(map(str, networks_in(text))) == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]
    assert networks_in(" , ") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.0.2.0/24 factory", "not an address or network: 'factory'"),
        ("192.0.2.0/33", "not an address or network: '192.0.2.0/33'"),
        ("192.0.2.1/24", "192.0.2.1/24 is an address within a network; the network is 192.0.2.0/24"),
        ("2001:db8::1/32", "2001:db8::1/32 is an address within a network; the network is 2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "an IPv4 network, as IPv6"),
        (" ".join(f"10.0.0.{n}" for n in range(MAX_NETWORKS + 1)), "51 networks; a key has at most 50"),
    ],
)
def test_what_is_no_network_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        networks_in(text)


@pytest.mark.django_db
def test_the_longest_list_can_be_stored(company: Company) -> None:
    longest = [f"ffff:ffff:ffff:ffff:ffff:ffff:ffff:f{n:03x}/128" for n in range(MAX_NETWORKS)]
    key, _ = ApiKey.issue(company=company, scopes=["sync:read"], networks=",".join(longest))
    key.refresh_from_db()
    assert key.networks.split() == longest
    assert len(key.networks) <= MAX_LENGTH


def status_from(key: str, address: str, forwarded: str | None = None) -> Any:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return Api().with_key(key).get(PATH, REMOTE_ADDR=address, headers=headers).status_code


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::/32 192.0.2.0/24", "192.0.2.1", "::1"),
        ("192.0.2.0/24", "::ffff:192.0.2.1", "::ffff:192.0.3.1"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
        ("0.0.0.0/0", "192.0.2.1", ""),
    ],
)
def test_a_key_is_good_in_its_networks_only(company: Company, networks: str, inside: str, outside: str) -> None:
    key = issue_key(company, networks=networks)
    assert (status_from(key, inside), status_from(key, outside)) == (200, 401)


@pytest.mark.django_db
def test_a_key_without_networks_is_good_everywhere(key: str) -> None:
    assert {status_from(key, address) for address in ("192.0.2.1", "2001:db8::1", "")} == {200}


@pytest.mark.django_db
def test_from_elsewhere_it_is_refused_like_an_unknown_one_and_the_log_says_so(
    company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    text = issue_key(company, networks="192.0.2.0/24")
    stored = ApiKey.objects.get()
    ApiKey.objects.update(last_used_at=None)
    with caplog.at_level(logging.WARNING, "tenants"):
        refused = Api().with_key(text).get(PATH, REMOTE_ADDR="198.51.100.1")
    assert f"API key {stored.guid} was used from 198.51.100.1" in caplog.text
    assert text not in caplog.text
    stored.refresh_from_db()
    assert stored.last_used_at is None
    ApiKey.objects.all().delete()
    unknown = Api().with_key(text).get(PATH, REMOTE_ADDR="192.0.2.1")
    assert (refused.status_code, refused.content) == (unknown.status_code, unknown.content)
    assert refused.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"]


@pytest.mark.django_db
def test_behind_a_proxy_the_client_s_address_counts_and_can_not_be_invented(company: Company) -> None:
    key, proxy = issue_key(company, networks="192.0.2.0/24"), "10.0.0.1"
    assert status_from(key, proxy, forwarded="192.0.2.1") == 401
    with override_settings(TRUSTED_PROXIES=1):
        assert status_from(key, proxy, forwarded="192.0.2.1") == 200
        assert status_from(key, proxy, forwarded="192.0.2.1, 198.51.100.1") == 401
        assert status_from(key, proxy) == 401
