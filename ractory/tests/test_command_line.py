"""`manage.py` as a process: one form of error line, one set of exit codes, and an end by a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from bench.faults.server import ROOT
from client.tests.live import database_url
from ractory import __version__
from ractory.tests.live import until
from tenants.models import Company
from tenants.tests.commands import Manage


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-X", "faulthandler", str(ROOT / "manage.py"), *arguments]
    known = {**os.environ, "DATABASE_URL": database_url(), **environment}
    with subprocess.Popen(command, env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603  # our own command
        try:
            yield process
        finally:
            process.kill()


def ended(*arguments: str, **environment: str) -> tuple[Any, str, str]:
    with running(*arguments, **environment) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def test_it_tells_its_version() -> None:
    assert ended("--version", SECRET_KEY="") == (0, f"Ractory {__version__}\n", "")


@pytest.mark.parametrize("command", ["list_companies", "check_integrity", "migrate"])
def test_a_database_that_is_away_is_one_line_and_a_code_of_its_own(command: str, tmp_path: Path) -> None:
    nowhere = "postgres://ractory@127.0.0.1:1/ractory" if connection.vendor == "postgresql" else "sqlite:////no/where"
    code, out, err = ended(command, DATABASE_URL=nowhere)
    assert (code, out if command != "migrate" else "") == (3, "")
    assert err.startswith(f"manage.py {command}: error: the database: ")
    assert err.count("\n") == 1


def test_a_database_that_was_never_migrated_is_one_line(tmp_path: Path) -> None:
    code, out, err = ended("list_companies", DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert (code, out, err.count("\n")) == (3, "", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.django_db(transaction=True)
def test_a_signal_ends_a_command_in_one_line_and_leaves_nothing(number: signal.Signals) -> None:
    """It waits for a lock, as a command that takes long would; on SQLite it is one that never ends by itself."""
    with transaction.atomic():
        Company.objects.create(name="held")
        if connection.vendor == "postgresql":
            connection.cursor().execute("LOCK TABLE tenants_company")
        with running("create_company", "Interrupted Windows") as process:
            time.sleep(2)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "")
    assert err == f"manage.py create_company: error: stopped by {number.name}\n"
    assert not Company.objects.filter(name="Interrupted Windows").exists()


@pytest.mark.django_db
def test_wrong_use_is_2_and_a_refusal_is_1(manage: Manage, company: Company) -> None:
    assert manage("list_users", "--company", "x").code == 2
    assert manage("purge_runs", "--older-than", "0d").code == 2
    assert manage("create_company", "Again", "--guid", company.guid).code == 1
    assert manage("no_such_command").code == 1
    assert ended("check", STATEMENT_TIMEOUT="-1")[0] == 2


def test_tracebacks_are_there_for_who_asks() -> None:
    code, _, err = ended("no_such_command", "--traceback")
    assert code != 0
    assert until(lambda: err)


@pytest.mark.parametrize("former", ["import_pieces", "export_pieces", "restore"])
def test_the_names_of_before_still_work(manage: Manage, former: str) -> None:
    assert manage(former).complaint.startswith("the following arguments are required: ")
