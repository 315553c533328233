"""The role that the tests run as on PostgreSQL: with more rights, row-level security would not hold for it."""

import pytest
from django.db import connection


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_role_is_no_superuser_and_does_not_bypass_row_level_security() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)
