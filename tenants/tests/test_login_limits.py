"""Guessing passwords: how often it may be tried, for an account and from an address, and what it tells."""

from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from pytest_django.fixtures import Settings

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company, Counter
from tenants.tests.clock import Clock
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import text_of

PATH = "/api/v1/auth/login"
RATE = (3, 900)

pytestmark = pytest.mark.django_db


def login(email: str, password: str = PASSWORD, **meta: Any) -> Any:
    return Api().post(PATH, {"email": email, "password": password}, **meta)


def statuses(*attempts: Any) -> list[int]:
    return [attempt.status_code for attempt in attempts]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed meanwhile."""
    passwords: list[str] = []
    encode = MD5PasswordHasher.encode

    def noting(self: MD5PasswordHasher, password: str, salt: str) -> Any:
        passwords.append(password)
        return encode(self, password, salt)

    UserFactory.create()  # what is hashed before any request does not count
    monkeypatch.setattr(MD5PasswordHasher, "encode", noting)
    return passwords


# --- An account ---------------------------------------------------------------------------------


def test_after_so_many_failures_even_the_right_password_is_a_429_and_is_not_hashed(
    settings: Settings, clock: Clock, hashed: list[str]
) -> None:
    user = UserFactory.create()
    settings.THROTTLE_LOGINS = RATE
    hashed.clear()
    assert statuses(*(login(user.email, "wrong") for _ in range(3))) == [401] * 3
    assert hashed == ["wrong"] * 3
    clock.passes(300)
    answer = login(user.email)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "600")
    assert answer.json()["detail"].startswith("Too many failed logins of this account: 3 in 900 seconds are allowed.")
    assert len(hashed) == 3
    clock.passes(600)
    assert login(user.email).status_code == 200


def test_an_unknown_account_is_limited_like_a_known_one(settings: Settings) -> None:
    settings.THROTTLE_LOGINS = RATE
    user = UserFactory.create()
    for email in (user.email, "nobody@example.com"):
        assert statuses(*(login(email, "wrong") for _ in range(4))) == [401, 401, 401, 429]


def test_an_account_is_one_however_its_email_is_written(settings: Settings) -> None:
    settings.THROTTLE_LOGINS = RATE
    UserFactory.create(email="anna@example.com")
    emails = ("anna@example.com", "ANNA@example.com", " Anna@Example.com ")
    assert statuses(*(login(email, "wrong") for email in emails)) == [401] * 3
    assert login("anna@example.com").status_code == 429


def test_a_success_forgets_the_failures_of_the_account(settings: Settings) -> None:
    settings.THROTTLE_LOGINS = RATE
    user = UserFactory.create()
    for _ in range(3):
        assert statuses(login(user.email, "wrong"), login(user.email, "wrong"), login(user.email)) == [401, 401, 200]
    assert not Counter.objects.exists()


def test_other_accounts_are_not_concerned(settings: Settings) -> None:
    settings.THROTTLE_LOGINS = RATE
    victim, other = UserFactory.create_batch(2)
    assert statuses(*(login(victim.email, "wrong") for _ in range(4)))[-1] == 429
    assert login(other.email).status_code == 200


def test_every_kind_of_refusal_costs_one_hash(company: Company, hashed: list[str]) -> None:
    """No clock tells whether there is such an account."""
    users = [
        UserFactory.create(),
        UserFactory.create(is_active=False),
        UserFactory.create(company=company),
        UserFactory.create(password=None),
    ]
    Company.objects.filter(guid=company.guid).update(is_active=False)
    for email in (*(user.email for user in users), "nobody@example.com"):
        hashed.clear()
        assert login(email, "wrong").status_code == 401
        assert len(hashed) == 1, email


def test_what_was_typed_for_an_account_is_not_stored(settings: Settings) -> None:
    settings.THROTTLE_LOGINS = RATE
    login("my secret password", "x")
    [counter] = Counter.objects.all()
    assert "secret" not in counter.name


# --- An address ---------------------------------------------------------------------------------


def test_failures_of_many_accounts_from_one_address_add_up(settings: Settings) -> None:
    settings.THROTTLE_LOGINS_ADDRESS = RATE
    assert statuses(*(login(f"user-{n}@example.com", "wrong") for n in range(4))) == [401, 401, 401, 429]
    assert login(UserFactory.create().email).status_code == 429
    assert login(UserFactory.create().email, REMOTE_ADDR="192.0.2.7").status_code == 200


def test_a_success_takes_back_itself_only(settings: Settings) -> None:
    """One good account must not do for guessing at all others."""
    settings.THROTTLE_LOGINS_ADDRESS = RATE
    user = UserFactory.create()
    for number in range(3):
        assert statuses(login(user.email), login(f"user-{number}@example.com", "wrong")) == [200, 401]
    assert login(user.email).status_code == 429


def test_what_an_address_is_refused_locks_no_account(settings: Settings) -> None:
    settings.THROTTLE_LOGINS, settings.THROTTLE_LOGINS_ADDRESS = (5, 900), RATE
    user = UserFactory.create()
    assert statuses(*(login(user.email, "wrong") for _ in range(9))) == [401] * 3 + [429] * 6
    assert login(user.email, REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.parametrize(("proxies", "appended"), [(0, ""), (1, ", 192.0.2.1"), (2, ", 192.0.2.1, 10.0.0.1")])
def test_a_forged_forwarded_address_does_not_help(settings: Settings, proxies: int, appended: str) -> None:
    settings.THROTTLE_LOGINS_ADDRESS, settings.TRUSTED_PROXIES = RATE, proxies
    forged = [f"198.51.100.{number}{appended}" for number in range(4)]
    tried = [login("nobody@example.com", "wrong", HTTP_X_FORWARDED_FOR=written) for written in forged]
    assert statuses(*tried) == [401, 401, 401, 429]


def test_clients_behind_a_trusted_proxy_are_told_apart(settings: Settings) -> None:
    settings.THROTTLE_LOGINS_ADDRESS, settings.TRUSTED_PROXIES = (1, 900), 1
    tried = [login("nobody@example.com", "wrong", HTTP_X_FORWARDED_FOR=f"192.0.2.{n}") for n in (1, 2, 1)]
    assert statuses(*tried) == [401, 401, 429]


def test_an_ipv6_network_of_64_bits_is_one_address(settings: Settings) -> None:
    settings.THROTTLE_LOGINS_ADDRESS = (1, 900)
    addresses = ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1")
    tried = [login("nobody@example.com", "wrong", REMOTE_ADDR=address) for address in addresses]
    assert statuses(*tried) == [401, 429, 401, 401, 429]


# --- Elsewhere ----------------------------------------------------------------------------------


def test_bad_refresh_tokens_count_for_the_address_and_good_ones_do_not(settings: Settings) -> None:
    settings.THROTTLE_LOGINS_ADDRESS = RATE
    token = login(UserFactory.create().email).json()["refresh_token"]

    def refresh(text: str) -> Any:
        return Api().post("/api/v1/auth/refresh", {"refresh_token": text})

    for _ in range(4):
        answer = refresh(token)
        assert answer.status_code == 200
        token = answer.json()["refresh_token"]
    assert statuses(*(refresh("a.b.c") for _ in range(4))) == [401, 401, 401, 429]
    assert refresh(token).status_code == 429


def test_the_staffs_login_page_says_so(settings: Settings, clock: Clock, hashed: list[str]) -> None:
    settings.THROTTLE_LOGINS = RATE
    user = UserFactory.create(role=Role.COMPANY_ADMIN)
    form = {"username": user.email, "password": PASSWORD}
    browser = Client()
    for _ in range(3):
        page = browser.post("/admin/login/", form | {"password": "wrong"})
        assert "Please enter the correct email and password" in text_of(page)
    hashed.clear()
    clock.passes(60)
    page = browser.post("/admin/login/", form)
    assert (page.status_code, page.headers["Retry-After"], hashed) == (429, "840", [])
    assert "Too many failed logins. Try again in 14 minutes." in page.content.decode()
    assert login(user.email).status_code == 429
    clock.passes(840)
    assert browser.post("/admin/login/", form).status_code == 302


def test_a_body_that_is_no_login_is_not_counted(settings: Settings) -> None:
    settings.THROTTLE_LOGINS_ADDRESS = (1, 900)
    assert statuses(*(Api().post(PATH, {"email": "a@example.com"}) for _ in range(3))) == [422] * 3
    assert not Counter.objects.exists()
