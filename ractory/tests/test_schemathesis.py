"""The OpenAPI document is true: schemathesis, with all its checks on, finds nothing on the running server."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.core.servers.basehttp import WSGIRequestHandler
from pytest_django.live_server_helper import LiveServer

from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from ractory.api.meta import document
from ractory.tests.schemathesis_hooks import COMPANY, DISPOSABLE, MANAGED, ROWS
from tenants.authentication import begin
from tenants.caller import Role
from tenants.tests.factories import CompanyFactory, UserFactory, issue_key

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's test server sends head and body apart: Nagle's algorithm would hold back each body for 40 ms."""
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)


@pytest.fixture
def token(transactional_db: None) -> str:
    """A SystemAdmin's. The rows of the document's examples exist, and some to delete and to change."""
    company = CompanyFactory.create(guid=uuid.UUID(COMPANY))
    for rows in (ROWS, DISPOSABLE):
        project = ProjectFactory.create(guid=uuid.UUID(rows["projects"]), company=company)
        component = ComponentFactory.create(guid=uuid.UUID(rows["components"]), project=project)
        assembly = AssemblyFactory.create(guid=uuid.UUID(rows["assemblies"]), component=component)
        PieceFactory.create(guid=uuid.UUID(rows["pieces"]), assembly=assembly)
    CompanyFactory.create(guid=uuid.UUID(MANAGED["companies"]))
    UserFactory.create(guid=uuid.UUID(MANAGED["users"]), company=company, role=Role.OPERATOR)
    issue_key(company, guid=uuid.UUID(MANAGED["api-keys"]))
    access: str = begin(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))["access_token"]
    return access


@pytest.mark.usefixtures("_no_delay")
def test_schemathesis_finds_nothing(live_server: LiveServer, token: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--checks", "all"]
    ran = subprocess.run(  # noqa: S603  # our own words
        [*command, f"{live_server.url}/api/schema"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "RACTORY_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    operations = sum(len(methods) for methods in json.loads(document())["paths"].values())
    assert re.search(rf"^ *Tested: {operations}$", ran.stdout, re.MULTILINE), ran.stdout
