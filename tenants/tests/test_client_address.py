"""Where a request comes from, with and without proxies in front."""

import pytest
from django.test import RequestFactory, override_settings

from tenants.networks import client_address

PEER = "192.0.2.9"


def seen(proxies: int, forwarded: str | None, peer: str = PEER) -> str | None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    with override_settings(TRUSTED_PROXIES=proxies):
        address = client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, PEER),
        (0, "203.0.113.1", PEER),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "10.0.0.1, 127.0.0.1, 203.0.113.1", "203.0.113.1"),
        (2, "10.0.0.1,203.0.113.1, 198.51.100.7", "203.0.113.1"),
    ],
)
def test_only_what_the_trusted_proxies_wrote_is_believed(proxies: int, forwarded: str | None, address: str) -> None:
    assert seen(proxies, forwarded) == address


@pytest.mark.parametrize(("proxies", "forwarded"), [(1, None), (1, ""), (2, "203.0.113.1"), (2, " ,203.0.113.1")])
def test_a_request_past_the_proxies_is_known_by_its_peer(proxies: int, forwarded: str | None) -> None:
    assert seen(proxies, forwarded) == PEER


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.1:4711", "203.0.113.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("unknown", None),
        ("203.0.113", None),
        ("1" * 5000, None),
    ],
)
def test_an_address_is_read_however_it_is_written(written: str, address: str | None) -> None:
    assert seen(1, written) == address
    assert seen(0, None, peer=written) == address


def test_a_socket_of_the_file_system_has_no_address_of_its_own() -> None:
    assert seen(0, "203.0.113.1", peer="") is None
    assert seen(1, "203.0.113.1", peer="") == "203.0.113.1"
