"""A caller of sync, and a component to hang pieces on."""

import pytest

from pieces.models import Component
from pieces.tests.conftest import family
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Sync
from tenants.models import Company
from tenants.tests.clock import clock

__all__ = ["clock", "family"]


@pytest.fixture
def sync(api: Api, key: str) -> Sync:
    return Sync(api.with_key(key))


@pytest.fixture
def component(company: Company) -> Component:
    return ComponentFactory.create(company=company)
