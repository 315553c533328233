"""A caller of sync, and a component to hang pieces on."""

import pytest

from pieces.models import Component
from pieces.tests.conftest import family
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Item, Sync, full_piece
from tenants.models import Company
from tenants.tests.clock import clock

__all__ = ["clock", "family"]


@pytest.fixture
def sync(api: Api, key: str) -> Sync:
    return Sync(api.with_key(key))


@pytest.fixture
def component(company: Company) -> Component:
    return ComponentFactory.create(company=company)


@pytest.fixture
def pieces(sync: Sync, component: Component) -> list[Item]:
    """Three pieces that a sync has made."""
    items = [full_piece(component, number) for number in range(3)]
    assert sync("pieces", *items).status_code == 200
    return items
