"""`manage.py create_user` (contract, "manage.py")."""

import uuid

import pytest

from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.commands import Manage
from tenants.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.SYSTEM_ADMIN])
def test_it_prints_one_json_object(manage: Manage, company: Company, role: str) -> None:
    answer = manage("create_user", "a@example.com", "--role", role, "--company", company.guid, "--json").json
    user = User.objects.get()
    assert answer == {
        "guid": str(user.guid),
        "email": "a@example.com",
        "role": role,
        "company_guid": str(company.guid),
    }
    assert (user.role, user.company_guid) == (role, company.guid)


def test_it_prints_lines_for_a_person_and_how_to_set_a_password(manage: Manage) -> None:
    outcome = manage("create_user", "a@example.com", "--role", "SystemAdmin")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        f"guid          {User.objects.get().guid}",
        "email         a@example.com",
        "role          SystemAdmin",
        "company_guid  -",
        "No password is set: `manage.py changepassword a@example.com` sets one.",
    ]


def test_the_password_is_stored_hashed_and_not_shown(manage: Manage) -> None:
    outcome = manage("create_user", "a@example.com", "--role", "SystemAdmin", "--password", PASSWORD)
    user = User.objects.get()
    assert user.check_password(PASSWORD)
    assert PASSWORD not in user.password
    assert PASSWORD not in outcome.out
    assert "changepassword" not in outcome.out


def test_without_a_password_nobody_can_log_in(manage: Manage) -> None:
    manage("create_user", "a@example.com", "--role", "SystemAdmin")
    assert not User.objects.get().has_usable_password()


def test_the_email_is_stored_in_lower_case(manage: Manage) -> None:
    assert manage("create_user", "Anna@Example.COM", "--role", "SystemAdmin", "--json").json["email"] == (
        "anna@example.com"
    )


def test_an_email_is_taken_in_any_case(manage: Manage) -> None:
    UserFactory.create(email="anna@example.com")
    assert manage("create_user", "ANNA@example.com", "--role", "SystemAdmin").complaint == (
        "email: User with this Email already exists."
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--role", "SystemAdmin"], "the following arguments are required: EMAIL"),
        (["a@example.com"], "the following arguments are required: --role"),
        (["not-an-email", "--role", "SystemAdmin"], "email: Enter a valid email address."),
        (["\udcff@example.com", "--role", "SystemAdmin"], "argument EMAIL: not plain text: '\\udcff@example.com'"),
        (["a@example.com", "--role", "Operator"], "Only a SystemAdmin can be without a company."),
        (["a@example.com", "--role", "Operator", "--company", "5"], "argument --company: not a UUID: '5'"),
        (
            ["a@example.com", "--role", "SystemAdmin", "--password", "\udcff"],
            "argument --password: not plain text: '\\udcff'",
        ),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, arguments: list[str], complaint: str) -> None:
    assert manage("create_user", *arguments).complaint == complaint
    assert not User.objects.exists()


def test_an_unknown_role_is_answered_with_the_known_ones(manage: Manage) -> None:
    complaint = manage("create_user", "a@example.com", "--role", "Boss").complaint
    assert "invalid choice: 'Boss'" in complaint
    assert all(role in complaint for role in Role.values)


def test_an_unknown_company_is_named(manage: Manage) -> None:
    unknown = uuid.uuid4()
    assert manage("create_user", "a@example.com", "--role", "Operator", "--company", unknown).complaint == (
        f"there is no company {unknown}"
    )


def test_a_password_can_come_by_standard_input(manage: Manage) -> None:
    arguments = ("create_user", "a@example.com", "--role", "SystemAdmin", "--password-stdin")
    assert manage(*arguments).complaint == "there is no password on standard input"
    assert manage(*arguments, stdin="a long one\n").code == 0
    assert User.objects.get().check_password("a long one")


def test_a_system_admin_is_of_no_company(manage: Manage, company: Company) -> None:
    outcome = manage("create_user", "a@example.com", "--role", "SystemAdmin", "--company", company.guid)
    assert (outcome.code, outcome.complaint) == (2, "a SystemAdmin is of no company")
