"""What ends a session at once: each change of a user, for access tokens, refresh tokens and the admin."""

from collections.abc import Callable

import pytest
from django.test import Client

from ractory.api.tests.client import Api
from tenants.authentication import begin
from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.factories import UserFactory
from tenants.tests.staff import session_of, system_admin

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "a horse in the battery"


def post(path: str, **fields: str) -> None:
    """As a SystemAdmin, in the admin."""
    answer = system_admin().post(path, fields)
    assert answer.status_code == 302, answer.content


def change_user(user: User, **fields: str) -> None:
    post(f"/admin/tenants/user/{user.guid}/change/", **fields)


def new_password(user: User) -> None:
    post(f"/admin/tenants/user/{user.guid}/password/", password1=NEW_PASSWORD, password2=NEW_PASSWORD)


def new_password_by_hand(user: User) -> None:
    user.set_password(NEW_PASSWORD)
    user.save(update_fields=["password"])


def lower_role(user: User) -> None:
    change_user(user, role=Role.OPERATOR, is_active="on")


def higher_role(user: User) -> None:
    change_user(user, role=Role.SYSTEM_ADMIN, is_active="on")


def role_by_hand(user: User) -> None:
    User.objects.filter(guid=user.guid).update(role=Role.SYSTEM_ADMIN)


def other_company(user: User) -> None:
    User.objects.filter(guid=user.guid).update(company=Company.objects.create(name="Other"))


def switch_off(user: User) -> None:
    change_user(user, role=user.role)


def switch_off_and_on(user: User) -> None:
    switch_off(user)
    change_user(user, role=user.role, is_active="on")


def switch_company_off(user: User) -> None:
    post(f"/admin/tenants/company/{user.company_guid}/change/", name="Acme")


def switch_company_off_and_on(user: User) -> None:
    switch_company_off(user)
    post(f"/admin/tenants/company/{user.company_guid}/change/", name="Acme", is_active="on")


def off_by_hand(user: User) -> None:
    User.objects.filter(guid=user.guid).update(is_active=False)


def lose(user: User) -> None:
    user.delete()


CHANGES = [
    *(new_password, new_password_by_hand, lower_role, higher_role, role_by_hand, other_company),
    *(switch_off, switch_off_and_on, switch_company_off, switch_company_off_and_on, off_by_hand, lose),
]


def access_works(user: User) -> Callable[[], bool]:
    api = Api().with_user(user)
    return lambda: bool(api.get("/api/v1/auth/me").status_code == 200)


def refresh_works(user: User) -> Callable[[], bool]:
    tokens = [begin(user)["refresh_token"]]

    def works() -> bool:
        answer = Api().post("/api/v1/auth/refresh", {"refresh_token": tokens[-1]})
        if answer.status_code == 200:
            tokens.append(answer.json()["refresh_token"])
        return bool(answer.status_code == 200)

    return works


def admin_works(user: User) -> Callable[[], bool]:
    staff: Client = session_of(user)
    return lambda: staff.get("/admin/").status_code == 200


KINDS = [access_works, refresh_works, admin_works]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_ends_the_sessions_made_before(
    kind: Callable[[User], Callable[[], bool]], change: Callable[[User], None]
) -> None:
    user, colleague = UserFactory.create(), UserFactory.create()
    works, colleague_works = kind(user), kind(colleague)
    assert works()
    change(user)
    assert not works()
    assert colleague_works()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [new_password, switch_off_and_on, switch_company_off_and_on])
def test_a_new_login_works_after_the_change(
    kind: Callable[[User], Callable[[], bool]], change: Callable[[User], None]
) -> None:
    user = UserFactory.create()
    change(user)
    assert kind(User.objects.select_related("company").get(guid=user.guid))()


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_nothing_ends_nothing(kind: Callable[[User], Callable[[], bool]]) -> None:
    user = UserFactory.create()
    works = kind(user)
    change_user(user, role=user.role, is_active="on")
    assert works()


def test_who_changes_the_own_password_in_the_admin_stays_there_and_is_out_everywhere_else() -> None:
    user = UserFactory.create()
    here, elsewhere, token = session_of(user), admin_works(user), access_works(user)
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert here.post(f"/admin/tenants/user/{user.guid}/password/", passwords).status_code == 302
    assert here.get("/admin/").status_code == 200
    assert not elsewhere()
    assert not token()
