"""What the tests of commands share."""

import pytest

from tenants.tests.clock import clock
from tenants.tests.commands import Manage

__all__ = ["clock"]


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str]) -> Manage:
    """Runs `manage.py` with these arguments."""
    return Manage(capsys)
