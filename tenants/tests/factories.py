"""Companies, users and keys for tests. Call `.create()`: unlike a call of the class it is typed."""

# factory_boy types its factories, not its declarations:
# mypy: disable-error-code="no-untyped-call"

from typing import Any

from django.utils import timezone
from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User
from tenants.scope import every_company

PASSWORD = "correct horse battery staple"


class CompanyFactory(DjangoModelFactory[Company]):
    class Meta:
        model = Company

    name = Sequence(lambda number: f"Company {number}")

    @classmethod
    @every_company()
    def _create(cls, model_class: type[Company], *args: Any, **kwargs: Any) -> Company:
        company: Company = super()._create(model_class, *args, **kwargs)
        return company


class UserFactory(DjangoModelFactory[User]):
    """A user who may log in with `PASSWORD`; a CompanyAdmin unless told."""

    class Meta:
        model = User

    email = Sequence(lambda number: f"user{number}@example.com")
    role = Role.COMPANY_ADMIN
    company = SubFactory(CompanyFactory)

    @classmethod
    @every_company()
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        return model_class.objects.create_user(password=kwargs.pop("password", PASSWORD), **kwargs)


@every_company()
def issue_key(company: Company, *scopes: str, **fields: Any) -> str:
    """The text of a new API key, with both scopes unless told; just used, so that its use is not noted again."""
    key, text = ApiKey.issue(company=company, scopes=scopes or KeyScope.values, **fields)
    key.last_used_at = timezone.now()
    key.save(update_fields=["last_used_at"])
    return text
