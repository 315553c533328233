"""Complete sets whose server is killed: a real one, by SIGKILL, at any step of a batch and of the completion."""

import uuid
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest
from django.db import transaction

from bench.faults.server import Server, environment
from client.tests.live import database_url
from pieces.integrity import broken_invariants
from pieces.models import Component, Deletion, Piece
from pieces.tests.factories import ComponentFactory
from ractory.api.tests.client import Api
from sync.models import SeenBatch, Snapshot, SyncRun
from sync.tests.batches import Item, Sync, piece_item
from sync.tests.test_snapshots import SNAPSHOTS, Source
from tenants.scope import every_company
from tenants.tests.factories import issue_key

pytestmark = pytest.mark.django_db(transaction=True)

SEEN, GONE = 25, 15
TRIES = 50  # at a server whose worker may still be dying


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "faults.ndjson"
    with Server(environment(database_url(), FAULT_LOG=str(log)), workers=2) as server:
        yield server


def kills(server: Server) -> int:
    """How often it has been killed so far."""
    log = Path(server.environment["FAULT_LOG"])
    return len(log.read_bytes().splitlines()) if log.exists() else 0


class Round:
    """A company with pieces of which a source has some, and its set of them, which is open."""

    def __init__(self, server: Server) -> None:
        component: Component = ComponentFactory.create()
        self.server, self.company, self.key = server, component.company, issue_key(component.company)
        self.items = [piece_item(component, guid=str(uuid.uuid4()), piece_id=str(n)) for n in range(SEEN + GONE)]
        sync = Sync(Api().with_key(self.key))
        assert sync("pieces", *self.items).status_code == 200
        self.source = Source(sync, component)
        self.source.open(max_deleted=GONE)

    def ask(self, path: str, body: Any, fault: str = "") -> Any:
        """The answer to a POST; None if the server died over it."""
        headers = {"X-API-Key": self.key, "Content-Type": "application/json", "X-Fault": fault}
        request = Request(f"{self.server.url}{path}", orjson.dumps(body), headers)  # noqa: S310  # our own server
        try:
            with urlopen(request, timeout=60) as response:  # noqa: S310
                return orjson.loads(response.read())
        except HTTPError:
            raise
        except (OSError, HTTPException):
            return None

    def ask_until_answered(self, path: str, body: Any) -> Any:
        return next(answer for _ in range(TRIES) if (answer := self.ask(path, body)))

    def push(self, items: list[Item], fault: str = "") -> Any:
        return self.ask(f"/api/v1/sync/pieces?snapshot={self.source.guid}", {"pieces": items}, fault)

    def complete(self, fault: str = "") -> Any:
        return self.ask(self.path, {}, fault)

    @property
    def path(self) -> str:
        return f"{SNAPSHOTS}/{self.source.guid}/complete"

    def is_complete(self) -> bool:
        """Whether it is; all of it or nothing. Waits for the database to have done with a server that is gone."""
        with every_company(), transaction.atomic():
            snapshot = Snapshot.objects.select_for_update().get(guid=self.source.guid)
            done, of = snapshot.run_guid is not None, {"company": self.company}
            runs = SyncRun.objects.filter(operation="complete", **of).values_list("guid", "received", "deleted")
            deletions = Deletion.objects.filter(**of).values_list("roots", flat=True)
            assert list(runs) == ([(snapshot.run_guid, SEEN, GONE)] if done else [])
            assert list(deletions) == ([GONE] if done else [])
            assert Piece.objects.filter(**of).count() == SEEN + (0 if done else GONE)
            assert SeenBatch.objects.filter(**of).exists() is not done
        return done


@pytest.mark.parametrize(
    ("point", "done"), [("locked", False), ("deleted", False), ("receipt", False), ("completed", True)]
)
def test_killed_anywhere_it_is_completed_once_or_not_at_all(server: Server, point: str, *, done: bool) -> None:
    """Right after the step, and up to 10 ms later, in whatever it does then."""
    before = kills(server)
    for target in ("worker", "soon"):
        this = Round(server)
        assert this.push(this.items[:SEEN])
        answer = this.complete(f"{point} {target}")
        after = this.is_complete()
        assert after is done or target == "soon"
        again = this.ask_until_answered(this.path, {})
        assert this.is_complete()
        assert again in (answer, answer or again)
        assert (again["seen"], again["deleted"]) == (SEEN, GONE)
        assert this.source.complete().json() == again
        changes = this.source.sync.api.get(f"/api/v1/sync/runs/{again['run_guid']}/changes").json()
        assert sorted(change["guid"] for change in changes) == sorted(item["guid"] for item in this.items[SEEN:])
        assert this.source.sync.api.post(f"/api/v1/pieces/{this.items[-1]['guid']}/restore").status_code == 204
        with every_company():
            assert Piece.objects.filter(company=this.company).count() == SEEN + GONE
            assert not any(broken_invariants().values())
    assert kills(server) == before + 2


def test_a_batch_whose_server_was_killed_is_noted_with_its_rows_or_not_at_all(server: Server) -> None:
    before = kills(server)
    for point, noted in (("noted", 0), ("committed", SEEN)):
        this = Round(server)
        changed = [item | {"cell": "new"} for item in this.items[:SEEN]]
        assert this.push(changed, f"{point} worker") is None
        with every_company():
            written = Piece.objects.filter(company=this.company, cell="new")
            assert (this.source.shown().json()["seen"], written.count()) == (noted, noted)
        this.ask_until_answered(f"/api/v1/sync/pieces?snapshot={this.source.guid}", {"pieces": changed})
        assert this.complete() == {"seen": SEEN, "deleted": GONE, "run_guid": this.source.complete().json()["run_guid"]}
        assert this.is_complete()
    assert kills(server) == before + 2
