"""The hash of a password takes most of a second of a core: how many of them there may be, and at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings
from rest_framework.exceptions import Throttled

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.hashing import one_at_a_time
from tenants.models import Company, Counter, User
from tenants.tests.clock import Clock
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import admin_of, session_of, text_of
from tenants.tests.test_login_limits import RATE, hashed, login, statuses

__all__ = ["hashed"]

pytestmark = pytest.mark.django_db

NEW = "Zwetschgen-mit-4711-Broeseln"
ADD = "/admin/tenants/user/add/"
OWN = "/admin/password_change/"


def new_user(number: int) -> dict[str, str]:
    return {"email": f"new-{number}@example.com", "role": "Operator", "password1": NEW, "password2": NEW}


def own_password(old: str, new: str = NEW) -> dict[str, str]:
    return {"old_password": old, "new_password1": new, "new_password2": new}


def words(page: Any) -> str:
    """What a refusal says to a person."""
    assert (page.status_code, page.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    page.status_code = 200
    return text_of(page)


# --- How many -----------------------------------------------------------------------------------


def test_successful_logins_of_an_account_are_limited_too(settings: Settings, clock: Clock, hashed: list[str]) -> None:
    user, other = UserFactory.create_batch(2)
    settings.THROTTLE_ALL_LOGINS = RATE
    hashed.clear()
    assert statuses(*(login(user.email) for _ in range(3))) == [200] * 3
    clock.passes(300)
    answer = login(user.email)
    assert (answer.status_code, answer.headers["Retry-After"], len(hashed)) == (429, "600", 3)
    assert answer.json()["detail"].startswith("Too many logins of this account: 3 in 900 seconds are allowed.")
    assert login(other.email).status_code == 200
    clock.passes(600)
    assert login(user.email).status_code == 200


def test_successful_logins_from_an_address_are_limited_too(settings: Settings) -> None:
    settings.THROTTLE_ALL_LOGINS_ADDRESS = RATE
    users = UserFactory.create_batch(4)
    assert statuses(*(login(user.email) for user in users)) == [200, 200, 200, 429]
    assert login(users[3].email, REMOTE_ADDR="192.0.2.7").status_code == 200


def test_logins_that_fail_and_logins_that_succeed_add_up(settings: Settings) -> None:
    settings.THROTTLE_ALL_LOGINS = RATE
    user = UserFactory.create()
    assert statuses(*(login(user.email, word) for word in ("wrong", PASSWORD, "wrong", PASSWORD))) == [
        401,
        200,
        401,
        429,
    ]


def test_a_refresh_costs_no_hash_and_counts_as_no_login(settings: Settings) -> None:
    settings.THROTTLE_ALL_LOGINS = settings.THROTTLE_ALL_LOGINS_ADDRESS = (1, 900)
    token = login(UserFactory.create().email).json()["refresh_token"]
    for _ in range(3):
        answer = Api().post("/api/v1/auth/refresh", {"refresh_token": token})
        assert answer.status_code == 200
        token = answer.json()["refresh_token"]


def test_the_staffs_login_page_says_so_in_words(settings: Settings, clock: Clock) -> None:
    settings.THROTTLE_ALL_LOGINS = (1, 900)
    user = UserFactory.create(role=Role.COMPANY_ADMIN)
    assert login(user.email).status_code == 200
    clock.passes(870)
    page = Client().post("/admin/login/", {"username": user.email, "password": PASSWORD})
    assert page.headers["Retry-After"] == "30"
    assert "Too many logins. Try again in 30 seconds." in words(page)


def test_a_wrong_old_password_is_a_failed_login(settings: Settings, company: Company, hashed: list[str]) -> None:
    """A session that somebody left open is no way to guess at the password."""
    settings.THROTTLE_LOGINS = RATE
    user = UserFactory.create(company=company)
    staff = session_of(user)
    for _ in range(3):
        assert "Your old password was entered incorrectly" in text_of(staff.post(OWN, own_password("wrong")))
    hashed.clear()
    page = staff.post(OWN, own_password(PASSWORD))
    assert "Too many failed logins. Try again in 15 minutes." in words(page)
    assert page.headers["Retry-After"] == "900"
    assert hashed == []
    assert login(user.email).status_code == 429


def test_the_right_old_password_gives_a_new_one_and_forgets_the_failures(settings: Settings, company: Company) -> None:
    settings.THROTTLE_LOGINS = RATE
    user = UserFactory.create(company=company)
    staff = session_of(user)
    text_of(staff.post(OWN, own_password("wrong")))
    assert staff.post(OWN, own_password(PASSWORD)).headers["Location"] == "/admin/password_change/done/"
    assert text_of(staff.get("/admin/password_change/done/"))
    assert not Counter.objects.exists()
    assert login(user.email, NEW).status_code == 200


def test_only_who_is_logged_in_may_change_the_own_password_on_the_page() -> None:
    assert Client().post(OWN, own_password(PASSWORD)).headers["Location"].startswith("/admin/login/")
    assert session_of(UserFactory.create(role=Role.OPERATOR)).get(OWN).status_code == 200
    switched_off = UserFactory.create(role=Role.OPERATOR)
    session = session_of(switched_off)
    User.objects.filter(guid=switched_off.guid).update(is_active=False)
    assert session.get(OWN).status_code == 302


def test_passwords_that_a_person_sets_for_others_count_as_that_persons_logins(
    settings: Settings, company: Company, hashed: list[str]
) -> None:
    staff = admin_of(company)
    settings.THROTTLE_ALL_LOGINS = (2, 900)
    assert staff.post(ADD, new_user(1)).status_code == 302
    user = User.objects.get(email="new-1@example.com")
    set_password = f"/admin/tenants/user/{user.guid}/password/"
    assert staff.get(set_password).status_code == 200
    assert staff.post(set_password, {"password1": NEW, "password2": NEW, "usable_password": "true"}).status_code == 302
    hashed.clear()
    for path in (ADD, set_password):
        assert "Too many logins. Try again in 15 minutes." in words(staff.post(path, new_user(2)))
        assert staff.get(path).status_code == 200
    assert hashed == []
    assert login(user.email, NEW).status_code == 200


# --- At once ------------------------------------------------------------------------------------


def while_another_is_hashed(work: Callable[[], Any]) -> Any:
    """What `work` returns in a thread, while this one has its turn."""

    def run() -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads, one_at_a_time():
        return threads.submit(run).result()


def test_who_would_wait_for_another_hash_is_told_to_come_again(settings: Settings, hashed: list[str]) -> None:
    """Or a few logins would hold every thread of the server."""
    settings.THROTTLE_LOGINS = settings.THROTTLE_ALL_LOGINS = RATE
    user = UserFactory.create()
    hashed.clear()
    answer = while_another_is_hashed(lambda: login(user.email))
    assert (answer.status_code, answer.headers["Retry-After"], hashed) == (429, "1", [])
    assert answer.json()["detail"].startswith("Too many logins at once.")
    assert not Counter.objects.exists()
    assert login(user.email).status_code == 200


def test_the_staffs_login_page_tells_it_in_words_too() -> None:
    form = {"username": "a@example.com", "password": PASSWORD}
    page = while_another_is_hashed(lambda: Client().post("/admin/login/", form))
    assert "Too many logins at once. Try again in 1 second." in words(page)


def test_a_password_is_neither_checked_nor_set_beside_another(hashed: list[str]) -> None:
    user = UserFactory.build(company=None)
    for work in (lambda: user.check_password(PASSWORD), lambda: user.set_password(PASSWORD)):
        with pytest.raises(Throttled):
            while_another_is_hashed(work)
    user.set_password(PASSWORD)
    assert user.check_password(PASSWORD)


def test_a_refused_hash_leaves_the_turn_to_the_next() -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), one_at_a_time():
            raise ZeroDivisionError
    assert while_not_held(lambda: UserFactory.build(company=None).set_password(PASSWORD)) is None


def while_not_held(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()
