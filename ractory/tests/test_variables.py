"""The table of variables in docs/operations.md holds every variable that is read, and no other."""

import json
import os
import re
import subprocess
import sys

import pytest
from django.test import Client, override_settings

from bench.faults.server import ROOT
from tenants.caller import Role
from tenants.tests.factories import UserFactory

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
GUNICORNS_OWN = {"PORT", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"}
NOT_FOR_OPERATORS = {"DJANGO_SETTINGS_MODULE"}

# Prints the names that our own files ask the environment for, whatever way they ask.
RECORDER = """
import json, os, runpy, sys
from pathlib import Path

asked = set()
root = Path.cwd()
ours = {root / "ractory" / "settings.py", root / "gunicorn.conf.py", root / "ractory" / "api" / "worker_metrics.py"}

class Recording(type(os.environ)):
    def _note(self, key):
        frame = sys._getframe(2)
        while frame and (frame.f_code.co_filename == os.__file__ or "_collections_abc" in frame.f_code.co_filename):
            frame = frame.f_back
        file = Path(frame.f_code.co_filename).resolve()
        if file in ours or file.parent.name == "environ":
            asked.add(key)

    def __getitem__(self, key):
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        self._note(key)
        return super().__contains__(key)

os.environ.__class__ = Recording
import ractory.settings
runpy.run_path("gunicorn.conf.py")
print(json.dumps(sorted(asked)))
"""


def documented() -> set[str]:
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", OPERATIONS, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"[A-Z_]+", row)}


def test_every_variable_that_is_read_is_in_the_table_and_no_other() -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", RECORDER], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    asked = set(json.loads(done.stdout))
    assert "SECRET_KEY" in asked
    assert asked - NOT_FOR_OPERATORS | GUNICORNS_OWN == documented()


@pytest.mark.django_db
def test_a_session_outlives_its_secret_key_where_that_is_a_fallback() -> None:
    client, user = Client(), UserFactory.create(role=Role.COMPANY_ADMIN)
    with override_settings(SECRET_KEY="former"):
        client.force_login(user)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["former"]):
        assert client.get("/admin/").status_code == 200
    with override_settings(SECRET_KEY="newer"):
        assert client.get("/admin/").status_code == 302
