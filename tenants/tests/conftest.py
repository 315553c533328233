"""What the tests of commands share."""

import pytest

from tenants.tests.commands import Manage


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str]) -> Manage:
    """Runs `manage.py` with these arguments."""
    return Manage(capsys)
