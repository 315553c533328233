"""The reference client takes back what it has delivered: one run, or all that a journal knows of."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from bench.faults.server import Server
from client import ractory_client
from client.ractory_client import Client, GaveUp, Journal, Rejected, push, undo
from client.tests.stub import Reply, Stub
from pieces.models import Component, Piece
from pieces.tests.factories import ComponentFactory
from sync.tests.batches import piece_item
from tenants.models import Company
from tenants.tests.factories import issue_key

UNDONE = Reply(body=b'{"run_guid": "u", "changed": 1, "deleted": 0, "restored": 0}')
ALREADY = Reply(409, b'{"detail": "The run has been undone already, by the run u."}')
IN_CONFLICT = Reply(409, b'{"detail": "1 rows have been written since.", "conflicts": [{"guid": "g"}]}')


def command(url: str, key: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {"RACTORY_KEY": key, "PYTHONWARNINGS": "error"}
    line = [sys.executable, ractory_client.__file__, url, *map(str, arguments)]
    return subprocess.run(line, env=environment, check=False, capture_output=True, text=True)  # noqa: S603  # our own command


def run(stub: Stub, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return command(f"http://127.0.0.1:{stub.port}", "rfk_test", "undo", *arguments)


def test_a_run_is_taken_back_with_the_options_that_are_given(stub: Stub) -> None:
    stub.script = [Reply(503, b""), UNDONE]
    with stub.client() as client:
        [(of, answer)] = undo(client, ["a/b"], dry_run="true", conflicts="skip")
    assert (of, answer.status, json.loads(answer.body)["changed"]) == ("a/b", 200, 1)
    path, headers, _ = stub.requests[1]
    assert path == "/api/v1/sync/runs/a%2Fb/undo?dry_run=true&conflicts=skip"
    assert headers["X-API-Key"] == "rfk_test"


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_what_can_never_be_undone_is_an_error(stub: Stub, status: int) -> None:
    stub.script = [Reply(status, b'{"detail": "no"}')]
    with stub.client() as client, pytest.raises(Rejected, match=f"{status} no"):
        list(undo(client, ["r"]))


def test_a_server_that_stays_away_is_given_up(stub: Stub) -> None:
    stub.script = [Reply(503, b"")]
    with stub.client(patience=0) as client, pytest.raises(GaveUp):
        list(undo(client, ["r"]))


@pytest.mark.parametrize(
    ("reply", "code"),
    [(UNDONE, 0), (ALREADY, 0), (IN_CONFLICT, 1), (Reply(410, b'{"detail": "gone"}'), 1)],
    ids=["undone", "undone before", "in conflict", "not kept any more"],
)
def test_the_command_says_what_came_of_it(stub: Stub, reply: Reply, code: int) -> None:
    stub.script = [reply]
    done = run(stub, "r-1", "--dry-run")
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == f"r-1: {reply.status} {reply.body.decode()}\n"
    assert stub.requests[0][0] == "/api/v1/sync/runs/r-1/undo?dry_run=true"


def test_a_journal_is_taken_back_from_its_end_up_to_what_can_not_be(stub: Stub, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        for number, outcome in enumerate(
            ("acknowledged", "acknowledged", "already", "refused", "acknowledged", "sent")
        ):
            journal.note(number, "key", outcome, run=f"r-{number}")
    stub.script = [UNDONE, ALREADY, IN_CONFLICT]
    done = run(stub, "--journal", tmp_path / "journal", "--skip-conflicts")
    assert done.returncode == 1
    asked = [path.split("/")[5] for path, _, _ in stub.requests]
    assert asked == ["r-4", "r-2", "r-1"]
    assert all(path.endswith("?conflicts=skip") for path, _, _ in stub.requests)


@pytest.mark.parametrize("arguments", [["undo"], ["pieces", "x.ndjson"], ["pieces", "--journal", "x"]])
def test_what_the_command_needs_is_asked_for(arguments: list[str]) -> None:
    done = command("http://127.0.0.1:9", "rfk_test", *arguments)
    assert (done.returncode, "a file and --journal are needed" in done.stderr) == (2, True)


@pytest.mark.django_db(transaction=True)
def test_a_wrong_delivery_is_undone_by_its_journal(server: Server, tmp_path: Path) -> None:
    component: Component = ComponentFactory.create()
    key = issue_key(Company.objects.get(guid=component.company_guid))

    def delivery(length: int) -> list[dict[str, Any]]:
        """Twenty-five pieces of this length."""
        return [
            {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in item.items()}
            for item in (
                piece_item(component, piece_id=str(n), guid=uuid.UUID(int=n), outer_length=length) for n in range(1, 26)
            )
        ]

    def lengths() -> set[int | None]:
        return set(Piece.across_companies.filter(is_active=True).values_list("outer_length", flat=True))

    with Client(server.url, key) as client, Journal(tmp_path / "wrong") as journal:
        list(push(client, "pieces", delivery(1200)))
        list(push(client, "pieces", delivery(1), journal=journal, batch_size=10))
    assert lengths() == {1}
    wrong = ("undo", "--journal", tmp_path / "wrong")
    tried = command(server.url, key, *wrong, "--dry-run")
    assert (tried.returncode, tried.stdout.count('"dry_run":true')) == (0, 3)
    assert lengths() == {1}
    assert command(server.url, key, *wrong).returncode == 0
    assert lengths() == {1200}
    again = command(server.url, key, *wrong)
    assert (again.returncode, again.stdout.count("has been undone already")) == (0, 3)
