"""The commands of docs/integrators.md, run as they stand there: a customer is provisioned and a factory pushed."""

import json
import os
import re
import subprocess

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from tenants.caller import Role
from tenants.tests.factories import PASSWORD, UserFactory

PAGE = (settings.BASE_DIR / "docs" / "integrators.md").read_text()
FACTORY = r"""
push() {
  curl -sS $URL/api/v1/sync/$1 -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d "$2"
  echo
}
IN='"company_guid": "'$COMPANY'", "project_guid": "123e4567-e89b-12d3-a456-426614174000"'
C='"component_guid": "223e4567-e89b-12d3-a456-426614174002"'
A='"assembly_guid": "323e4567-e89b-12d3-a456-426614174003"'
push components '{"components": [{"guid": "223e4567-e89b-12d3-a456-426614174002", "code": "C-1", '"$IN"'}]}'
push assemblies '{"assemblies": [{"guid": "323e4567-e89b-12d3-a456-426614174003", '"$IN, $C"'}]}'
push pieces '{"pieces": [{"piece_id": "X-1", '"$IN, $C, $A"'}, {"piece_id": "X-2", '"$IN, $C, $A"'}]}'
"""
READING = """
read_as() { curl -sS "$URL/api/v1/pieces?fields=piece_id,company_guid&ordering=piece_id" -H "$1"; echo; }
read_as "X-API-Key: $KEY"
for EMAIL in anna@huber.example otto@huber.example; do
  TOKEN=$(curl -sS $URL/api/v1/auth/login -H 'Content-Type: application/json' \
    -d '{"email": "'$EMAIL'", "password": "correct horse battery staple"}' \
    | grep -o '"access_token":"[^"]*' | cut -d'"' -f4)
  read_as "Authorization: Bearer $TOKEN"
done
echo $COMPANY
"""


def commands(section: str) -> str:
    """The blocks of a section that a shell runs."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    return "\n".join(block for block in blocks if block.lstrip().startswith(("export", "curl")))


@pytest.mark.django_db(transaction=True)
def test_a_company_two_users_and_a_key_are_made_and_each_reads_the_factory(live_server: LiveServer) -> None:
    root = UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)
    provision, sync = commands("Managing companies, users and keys"), commands("The first sync")
    assert provision.count("curl") == 5
    assert sync.count("curl") == 1
    script = "\n".join(["set -eu", provision, "echo", sync, "echo", FACTORY, READING])
    environment = {**os.environ, "URL": live_server.url, "ADMIN_EMAIL": root.email, "ADMIN_PASSWORD": PASSWORD}
    ran = subprocess.run(["/bin/bash"], input=script, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    *users, project, components, assemblies, pieces, by_key, by_anna, by_otto, company = ran.stdout.split("\n")[:-1]
    assert '"role":"CompanyAdmin"' in users[0]
    assert '"role":"Operator"' in users[0]
    counts = [json.loads(answer)["inserted"] for answer in (project, components, assemblies, pieces)]
    assert counts == [1, 1, 1, 2]
    listed = [{"piece_id": piece_id, "company_guid": company} for piece_id in ("X-1", "X-2")]
    assert [json.loads(answer) for answer in (by_key, by_anna, by_otto)] == [listed] * 3
