"""Users in the admin: a CompanyAdmin's own ones, no role above one's own, nobody locks themselves out."""

from typing import Any

import pytest
from django.test import Client

from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import admin_of, session_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST, ADD = "/admin/tenants/user/", "/admin/tenants/user/add/"
NEW_PASSWORD = "a horse in the battery"
TWICE = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}


def form(**fields: Any) -> dict[str, Any]:
    return {
        "email": "New@Example.com",
        "role": "Operator",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
    } | fields


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email="anna@example.com")


def test_a_company_admin_adds_users_to_the_own_company_only(
    staff: Client, company: Company, other_company: Company
) -> None:
    assert b'name="company"' not in staff.get(ADD).content
    assert staff.post(ADD, form(company=str(other_company.guid))).status_code == 302
    user = User.objects.get(email="new@example.com")
    assert (user.company, user.role) == (company, "Operator")
    assert user.check_password(NEW_PASSWORD)


def test_a_company_admin_can_not_grant_system_admin(staff: Client, company: Company) -> None:
    refused = staff.post(ADD, form(role="SystemAdmin"))
    assert "SystemAdmin is not one of the available choices" in text_of(refused)
    assert not User.objects.filter(email="new@example.com").exists()
    own = UserFactory.create(company=company, role=Role.OPERATOR)
    staff.post(f"{LIST}{own.guid}/change/", {"role": "SystemAdmin", "is_active": "on"})
    own.refresh_from_db()
    assert own.role == "Operator"


def test_a_system_admin_may_grant_everything_but_must_name_the_company(company: Company) -> None:
    root = system_admin()
    assert "Only a SystemAdmin can be without a company." in text_of(root.post(ADD, form()))
    assert root.post(ADD, form(role="CompanyAdmin", company=str(company.guid))).status_code == 302
    assert root.post(ADD, form(role="SystemAdmin", email="second@example.com")).status_code == 302


@pytest.mark.parametrize("page", ["change/", "password/", "history/", "delete/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_users_of_others_and_system_admins_are_out_of_reach(
    staff: Client, company: Company, other_company: Company, page: str, method: str
) -> None:
    foreign = UserFactory.create(company=other_company)
    above = UserFactory.create(company=company, role=Role.SYSTEM_ADMIN)  # a SystemAdmin may have a company
    listed = text_of(staff.get(LIST))
    for user in (foreign, above):
        assert user.email not in listed
        answer = getattr(staff, method)(f"{LIST}{user.guid}/{page}", {"password1": "x", "role": "Operator"})
        assert answer.status_code in (302, 403, 404)
        before = user.password
        user.refresh_from_db()
        assert (user.password, user.is_active) == (before, True)


def test_a_password_set_by_staff_works(staff: Client, company: Company) -> None:
    user = UserFactory.create(company=company, role=Role.OPERATOR)
    answer = staff.post(
        f"{LIST}{user.guid}/password/",
        {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"},
    )
    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)


def test_users_are_switched_off_not_deleted(staff: Client, company: Company) -> None:
    user = UserFactory.create(company=company, role=Role.OPERATOR)
    assert staff.post(f"{LIST}{user.guid}/change/", {"role": "Operator"}).status_code == 302  # is_active not ticked
    user.refresh_from_db()
    assert not user.is_active
    assert staff.post(f"{LIST}{user.guid}/delete/", {"post": "yes"}).status_code == 403
    actions = {"action": "delete_selected", "_selected_action": str(user.guid), "post": "yes"}
    staff.post(LIST, actions)
    assert User.objects.filter(guid=user.guid).exists()


def test_nobody_locks_themselves_out(company: Company) -> None:
    me = UserFactory.create(company=company)
    session_of(me).post(f"{LIST}{me.guid}/change/", {"role": "Operator"})
    me.refresh_from_db()
    assert (me.role, me.is_active) == ("CompanyAdmin", True)


@pytest.mark.parametrize("role", Role)
def test_every_role_logs_in_and_sees_what_it_may(client: Client, company: Company, role: Role) -> None:
    user = UserFactory.create(company=company, role=role)
    answer = client.post("/admin/login/", {"username": user.email, "password": PASSWORD})
    assert answer["Location"] == "/admin/"
    home = client.get("/admin/").content.decode()
    manages, deletes = role.endswith("Admin"), role.endswith(("Admin", "Manager"))
    for model, seen in (("pieces/piece", True), ("sync/syncrun", True), ("pieces/deletion", deletes)):
        assert (f'href="/admin/{model}/"' in home) == seen
        assert client.get(f"/admin/{model}/").status_code == (200 if seen else 403)
    for model in ("user", "apikey", "company"):
        assert (f'href="/admin/tenants/{model}/"' in home) == manages
    if not manages:
        refused = client.get(LIST)
        assert refused.status_code == 403
        assert "This takes another one: System Admin or Company Admin." in refused.content.decode()
        assert b'name="q"' in refused.content  # in the frame of all pages, with the search box


def test_there_are_no_groups(staff: Client) -> None:
    assert staff.get("/admin/auth/group/").status_code == 404
