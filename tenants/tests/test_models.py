"""What the database itself refuses, and what a person may do in the admin."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, ProtectedError

from tenants.caller import Role
from tenants.models import ApiKey, Company, User
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db


def refused_by_the_database(write: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        write()


def test_only_a_system_admin_can_be_without_a_company() -> None:
    UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)
    user = UserFactory.create(role=Role.OPERATOR)
    refused_by_the_database(lambda: User.objects.filter(guid=user.guid).update(company=None))
    user.company = None
    with pytest.raises(ValidationError, match="Only a SystemAdmin can be without a company"):
        user.full_clean()


def test_an_unknown_role_cannot_be_stored() -> None:
    user = UserFactory.create()
    refused_by_the_database(lambda: User.objects.filter(guid=user.guid).update(role="Boss"))


def test_an_email_is_stored_once_and_in_lower_case() -> None:
    user = UserFactory.create(email="Anna@Example.com")
    assert user.email == "anna@example.com"
    refused_by_the_database(lambda: User.objects.bulk_create([User(email=user.email, role=Role.SYSTEM_ADMIN)]))
    user.email = "ANNA@EXAMPLE.COM"
    user.full_clean()
    assert user.email == "anna@example.com"


def test_a_digest_is_stored_once(company: Company) -> None:
    issue_key(company)
    key = ApiKey.objects.get()
    refused_by_the_database(lambda: ApiKey.objects.create(company=company, digest=key.digest, scopes="sync:read"))


def test_a_company_with_users_or_keys_cannot_be_deleted(company: Company, other_company: Company) -> None:
    UserFactory.create(company=company)
    issue_key(other_company)
    for owner in (company, other_company):
        with pytest.raises(ProtectedError):
            owner.delete()


def test_the_columns_of_relations_are_named_as_on_the_wire() -> None:
    models: list[type[Model]] = [User, ApiKey]
    for model in models:
        assert "company_guid" in [field.column for field in model._meta.concrete_fields]


@pytest.mark.parametrize(
    ("role", "manages", "sees_trash"),
    [
        (Role.SYSTEM_ADMIN, True, True),
        (Role.COMPANY_ADMIN, True, True),
        (Role.INTEGRATION, False, False),
        (Role.PROJECT_MANAGER, False, True),
        (Role.OPERATOR, False, False),
    ],
)
def test_every_role_is_staff_while_all_is_active(role: Role, manages: bool, sees_trash: bool) -> None:
    user = UserFactory.create(role=role)
    assert (user.is_staff, user.is_superuser) == (True, role == Role.SYSTEM_ADMIN)
    assert user.has_perm("pieces.view_piece")
    assert user.has_module_perms("pieces")
    assert user.has_perm("pieces.view_deletion") == sees_trash
    assert user.has_perm("tenants.add_user") == user.has_perm("tenants.change_apikey") == manages
    assert user.has_perm("tenants.view_company") == user.has_perm("tenants.change_company") == manages
    assert user.has_perm("tenants.add_company") == user.is_superuser
    assert not any(map(user.has_perm, ("tenants.delete_user", "tenants.delete_company", "pieces.change_piece")))

    user.is_active = False
    assert not any((user.is_staff, user.is_superuser, user.has_perm("x"), user.has_module_perms("x")))

    user.is_active, user.company.is_active = True, False
    assert not any((user.is_staff, user.is_superuser, user.has_perm("x"), user.has_module_perms("x")))


def test_a_superuser_is_a_system_admin() -> None:
    assert User.objects.create_superuser("root@example.com", "secret").is_superuser


def test_things_say_what_they_are(company: Company) -> None:
    issue_key(company, description="Line 4")
    issue_key(company)
    named, unnamed = ApiKey.objects.order_by("-description")
    assert (str(company), str(named), str(unnamed)) == (company.name, "Line 4", str(unnamed.guid))
    assert str(UserFactory.create(email="anna@example.com")) == "anna@example.com"
