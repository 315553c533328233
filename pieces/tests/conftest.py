"""Families of the company that `key` belongs to, and of another one."""

import pytest

from pieces.tests.families import Family, family_of
from ractory.api.tests.client import Api
from tenants.models import Company


@pytest.fixture
def family(company: Company) -> Family:
    return family_of(company)


@pytest.fixture
def foreign(other_company: Company) -> Family:
    """A family of another company."""
    return family_of(other_company)


@pytest.fixture
def reader(api: Api, key: str) -> Api:
    """A client with the company's key."""
    return api.with_key(key)
