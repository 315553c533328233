"""One transaction, tried again: never within another one, whose locks and fate it would share."""

import pytest
from django.db import transaction

from ractory.api.retry import in_transaction

pytestmark = pytest.mark.django_db(transaction=True)


def nested() -> None:
    in_transaction(lambda: None)


def test_it_is_not_nested() -> None:
    with pytest.raises(RuntimeError, match="durable"):
        in_transaction(nested)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        nested()
