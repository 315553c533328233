"""A server that is too new or too old for the database's schema does not start, and says so in one line."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from bench.faults.server import ROOT, environment
from client.tests.live import database_url
from ractory import OLDEST, __version__
from tenants.postgresql.guard import schema_faults


def start(**known: str) -> str:
    """The last line of a server that does not come to serve."""
    command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--check-config"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **known}, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    assert done.returncode != 0
    return done.stderr.splitlines()[-1]


@pytest.fixture
def recorder() -> MigrationRecorder:
    return MigrationRecorder(connection)


@pytest.mark.django_db
def test_the_schema_that_was_just_migrated_is_right(recorder: MigrationRecorder) -> None:
    assert schema_faults(connection) == []
    assert ("ractory", OLDEST) in recorder.applied_migrations()


@pytest.mark.django_db(transaction=True)
def test_a_server_that_is_too_old_does_not_start(recorder: MigrationRecorder) -> None:
    recorder.record_applied("ractory", "99.0.10")
    recorder.record_applied("ractory", "99.0.9")
    try:
        line = start(DATABASE_URL=database_url())
    finally:
        for name in ("99.0.10", "99.0.9"):
            recorder.record_unapplied("ractory", name)
    assert f"ractory.E004: Ractory {__version__} is too old for this database, which was migrated for 99.0.10." in line


def test_a_server_that_is_too_new_does_not_start(tmp_path: Path) -> None:
    """The tables themselves are not looked at: what is noted of the migrations is enough."""
    with closing(sqlite3.connect(tmp_path / "old.sqlite3", isolation_level=None)) as database:
        database.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT)")
        noted = [(app, name) for app, name in MigrationLoader(None).graph.nodes if app != "sync" or name < "0004"]
        database.executemany("INSERT INTO django_migrations (app, name) VALUES (?, ?)", noted)
    line = start(**environment(f"sqlite:///{tmp_path / 'old.sqlite3'}"))
    assert f"ractory.E003: Ractory {__version__} is too new for this database, which lacks " in line
    assert line.endswith("Run manage.py migrate.")
