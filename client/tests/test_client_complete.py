"""The reference client completes what it has delivered: what the delivery did not name goes, or nothing does."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.faults.server import Server
from client.ractory_client import Journal
from client.ractory_complete import scope
from client.tests.stub import Reply, Stub
from client.tests.test_client_undo import command
from pieces.models import Component, Piece
from pieces.tests.factories import ComponentFactory
from sync.models import Snapshot
from sync.tests.batches import piece_item
from tenants.models import Company
from tenants.tests.factories import issue_key

OPENED = Reply(201, b'{"guid": "s-1"}')
WRITTEN = Reply(body=b'{"inserted": 1, "updated": 0}', headers={"X-Sync-Run": "r-1"})
REFUSED = Reply(422, b'{"detail": [{"loc": ["body", "pieces", 0, "cell"], "msg": "no", "type": "t"}]}')
COMPLETED = Reply(body=b'{"seen": 1, "deleted": 2, "run_guid": "r-2"}')
TOO_MANY = Reply(409, b'{"detail": "9 pieces would be deleted", "would_delete": 9, "max_deleted": 1}')
NO_RECEIPT = Reply(body=b"[]")


def lines(path: Path, *items: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(item, default=str) for item in items))
    return path


def run(stub: Stub, tmp_path: Path, *more: str) -> Any:
    file = lines(tmp_path / "one.ndjson", {"piece_id": "1"})
    how = ["--journal", str(tmp_path / "journal"), "--complete", "project=p-1", "--patience", "9", *more]
    return command(f"http://127.0.0.1:{stub.port}", "rfk_test", "pieces", file, *how)


def test_it_opens_pushes_and_completes(stub: Stub, tmp_path: Path) -> None:
    stub.script = [Reply(503, b""), OPENED, WRITTEN, Reply(503, b""), COMPLETED]
    done = run(stub, tmp_path, "--max-deleted", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"complete: 200 {COMPLETED.body.decode()}\n")
    (opening, _, said), (pushing, _, _), (completing, _, ceiling) = stub.requests[1], stub.requests[2], stub.requests[4]
    assert (opening, said) == ("/api/v1/sync/snapshots", {"entity": "pieces", "project_guid": "p-1"})
    assert pushing == "/api/v1/sync/pieces?snapshot=s-1"
    assert (completing, ceiling) == ("/api/v1/sync/snapshots/s-1/complete", {"max_deleted": 5})


def test_a_push_that_was_killed_goes_on_in_the_same_snapshot(stub: Stub, tmp_path: Path) -> None:
    stub.script = [OPENED, Reply(400, b'{"detail": "killed, say"}')]
    assert run(stub, tmp_path).returncode == 1
    stub.script = [WRITTEN, COMPLETED]
    assert run(stub, tmp_path).returncode == 0
    assert [path for path, _, _ in stub.requests[2:]] == [
        "/api/v1/sync/pieces?snapshot=s-1",
        "/api/v1/sync/snapshots/s-1/complete",
    ]


def test_what_is_not_all_there_is_not_completed(stub: Stub, tmp_path: Path) -> None:
    stub.script = [OPENED, REFUSED]
    done = run(stub, tmp_path)
    assert (done.returncode, len(stub.requests)) == (1, 2)
    assert "Not completed" in done.stdout


def test_more_than_may_go_and_a_dry_run(stub: Stub, tmp_path: Path) -> None:
    stub.script = [OPENED, WRITTEN, TOO_MANY, TOO_MANY, COMPLETED]
    assert run(stub, tmp_path).returncode == 1
    assert run(stub, tmp_path, "--dry-run").returncode == 1
    assert run(stub, tmp_path, "--dry-run", "--max-deleted", "50%").returncode == 0
    path, _, ceiling = stub.requests[-1]
    assert (path, ceiling) == ("/api/v1/sync/snapshots/s-1/complete?dry_run=true", {"max_deleted": "50%"})


def test_a_journal_of_another_delivery_would_make_things_go_that_were_sent(stub: Stub, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.note(0, "key", "acknowledged", run="r")
    done = run(stub, tmp_path)
    assert (done.returncode, stub.requests) == (2, [])
    assert "a new set needs a new journal" in done.stderr
    (tmp_path / "journal").unlink()
    stub.script = [OPENED, WRITTEN, COMPLETED]
    assert run(stub, tmp_path).returncode == 0
    assert "a new set needs a new journal" in run(stub, tmp_path, "--complete", "project=p-2").stderr


@pytest.mark.parametrize("text", ["", "project", "project=", "piece=1", "company=1"])
def test_a_set_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="--complete is project=GUID"):
        scope(text)


@pytest.mark.django_db(transaction=True)
def test_what_a_delivery_does_not_name_goes_and_comes_back_by_its_journal(server: Server, tmp_path: Path) -> None:
    component: Component = ComponentFactory.create()
    key = issue_key(Company.objects.get(guid=component.company_guid))

    def delivery(name: str, *numbers: int) -> tuple[Any, ...]:
        file = lines(
            tmp_path / f"{name}.ndjson", *[piece_item(component, piece_id=str(n), outer_length=n) for n in numbers]
        )
        return "pieces", file, "--journal", tmp_path / name, "--match-piece-id", "--batch-size", "2"

    def there() -> set[str]:
        return set(Piece.across_companies.filter(is_active=True).values_list("piece_id", flat=True))

    assert command(server.url, key, *delivery("first", *range(6))).returncode == 0
    whole = (*delivery("second", 0, 1, 2), "--complete", f"component={component.guid}")
    refused = command(server.url, key, *whole, "--max-deleted", "2")
    assert (refused.returncode, there()) == (1, set("012345")), refused.stdout + refused.stderr
    assert '"would_delete":3' in refused.stdout
    done = command(server.url, key, *whole)
    assert (done.returncode, there()) == (0, set("012")), done.stdout + done.stderr
    again = command(server.url, key, *whole)
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert Snapshot.across_companies.count() == 1
    assert command(server.url, key, "undo", "--journal", tmp_path / "second").returncode == 0
    assert there() == set("012345")
