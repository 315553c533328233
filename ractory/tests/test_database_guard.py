"""Nothing runs on a database where the second wall would not hold: seen on real servers, as an operator would."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.faults.database import Database
from bench.faults.server import ROOT
from ractory.tests.postgresql import embedded_postgres_url
from ractory.tests.served import free_port, served

pytestmark = pytest.mark.postgresql

BYPASSING = "CREATE ROLE bypassing LOGIN NOSUPERUSER BYPASSRLS IN ROLE ractory"
RIGHTLY = "ractory"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A migrated database on a server of its own, whose superuser we are."""
    with embedded_postgres_url(durable=False) as url:
        made = Database(url)
        made.rows(BYPASSING)
        assert manage(made, RIGHTLY, "migrate", "--verbosity=0").stderr == ""
        yield made


def run(database: Database, role: str, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    url = database.url.replace("ractory@", f"{role}@")
    environment = {**os.environ, "DATABASE_URL": url, "PORT": str(free_port()), **environment}
    return subprocess.run(  # noqa: S603  # our own words
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def manage(database: Database, role: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run(database, role, "manage.py", *words, **environment)


@contextmanager
def altered(database: Database, change: str, back: str) -> Iterator[None]:
    database.rows(change)
    try:
        yield
    finally:
        database.rows(back)


CHECK = ("check", "--database", "default")


@pytest.mark.parametrize("role", ["postgres", "bypassing"])
def test_a_role_that_policies_do_not_hold_for_is_refused(database: Database, role: str) -> None:
    for words in (CHECK, ("migrate",)):
        refused = manage(database, role, *words)
        assert refused.returncode == 1
        assert f"(ractory.E001) Row-level security does not hold for the database role '{role}'" in refused.stderr
    assert manage(database, role, *CHECK, DEBUG="true").returncode == 0


def test_no_server_starts_as_such_a_role(database: Database) -> None:
    refused = run(database, "postgres", "-m", "gunicorn", "ractory.wsgi")
    assert refused.returncode != 0
    assert "ractory.E001: Row-level security does not hold for the database role 'postgres'" in refused.stderr


NOT_FORCED = "ALTER TABLE pieces_piece NO FORCE ROW LEVEL SECURITY"
FORCED = "ALTER TABLE pieces_piece FORCE ROW LEVEL SECURITY"


def test_a_table_that_is_not_behind_the_wall_is_refused(database: Database) -> None:
    with altered(database, NOT_FORCED, FORCED):
        for command in (("manage.py", *CHECK), ("manage.py", "migrate"), ("-m", "gunicorn", "ractory.wsgi")):
            refused = run(database, RIGHTLY, *command)
            assert refused.returncode != 0
            assert "ractory.E002" in refused.stderr
            assert "Row-level security is not forced on pieces_piece" in refused.stderr
    assert manage(database, RIGHTLY, *CHECK).returncode == 0


def test_the_wall_can_be_taken_down_and_put_up_again_by_migrations(database: Database) -> None:
    """Meanwhile no server starts, but migrating goes on."""
    before = schema_of(database)
    for app, migration in (("sync", "0002"), ("pieces", "0002"), ("tenants", "0005")):
        assert manage(database, RIGHTLY, "migrate", app, migration).returncode == 0
    assert "FORCE" not in schema_of(database)
    assert "ractory.E002" in run(database, RIGHTLY, "-m", "gunicorn", "ractory.wsgi").stderr
    assert manage(database, RIGHTLY, "migrate").returncode == 0
    assert schema_of(database) == before


def schema_of(database: Database) -> str:
    """Constraints, policies, and who must heed them."""
    keys = database.rows("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1")
    policies = database.rows("SELECT tablename, policyname, qual FROM pg_policies ORDER BY 1")
    forced = database.rows("SELECT relname, 'FORCE' FROM pg_class WHERE relforcerowsecurity ORDER BY 1")
    return "\n".join(map(str, (*keys, *policies, *forced)))


@pytest.mark.parametrize(("role", "status"), [("postgres", 503), (RIGHTLY, 200)])
def test_a_database_that_was_away_at_the_start_is_looked_at_when_it_is_there(
    database: Database, tmp_path: Path, role: str, status: int
) -> None:
    """Until then the server is up, and says that it has none."""
    sockets = tmp_path / "sockets"
    url = f"postgres://{role}@/ractory?host={quote(str(sockets), safe='')}"
    with served(tmp_path / "log", DATABASE_URL=url) as server:
        assert server.call("GET", "/api/v1/health").status == 503
        sockets.symlink_to(database.host)
        for _ in range(3):
            assert server.call("GET", "/api/v1/health").status == status
        assert ("ractory.E001" in server.log.read_text()) == (status == 503)
