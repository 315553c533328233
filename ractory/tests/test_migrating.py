"""`manage.py migrate` by several hosts at once: one works, the others wait and find nothing to do."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.faults.database import running_database
from bench.faults.server import environment, manage

pytestmark = pytest.mark.postgresql


def test_three_at_once_migrate_an_empty_database_once() -> None:
    with running_database(durable=False) as database, ThreadPoolExecutor(3) as pool:
        known = environment(database.url)
        said = list(pool.map(lambda _: manage(known, "migrate", "--no-color"), range(3)))
        applied = [output.count("... OK") for output in said]
        assert sorted(applied)[:2] == [0, 0]
        assert [output for output in said if "No migrations to apply." in output] != []
        assert database.rows("SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations") == [
            (max(applied) + 1, max(applied) + 1)  # and a mark of the oldest version that may serve
        ]
        assert database.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
