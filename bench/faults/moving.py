"""A company of many pieces moves from one PostgreSQL to another while its client pushes and others are served.

`python -m bench.faults.moving` moves 100 000 pieces, prints what clients saw of it, and exits with 1 if a row was lost.
"""

import json
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.faults.database import Database, running_database
from bench.faults.server import Server, environment, manage
from client.ractory_client import Client, push

PIECES, BATCH = 100_000, 20
TABLES = ("pieces_project", "pieces_component", "pieces_piece", "pieces_deletion", "sync_syncrun")


@dataclass
class Pusher(threading.Thread):
    """Sends new pieces without end, each batch until it is acknowledged, and to the new address once there is one."""

    url: str
    key: str
    above: dict[str, str]
    acknowledged: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0  # seconds that one batch had to wait

    def __post_init__(self) -> None:
        super().__init__()
        self.stopping = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.stopping.is_set():
            guids = [str(uuid.uuid4()) for _ in range(BATCH)]
            body = json.dumps({"pieces": [{**self.above, "guid": guid, "piece_id": guid} for guid in guids]}).encode()
            started = time.monotonic()
            while (status := self._sent(body)) != 200:
                if status not in (503, 308):
                    raise RuntimeError(f"a batch was answered with {status}")
                time.sleep(0.2)
            self.longest = max(self.longest, time.monotonic() - started)
            self.acknowledged += guids

    def _sent(self, body: bytes) -> int:
        with Client(self.url, self.key) as client:
            answer = client.post("/api/v1/sync/pieces", body, str(uuid.uuid4()))
        self.answers[answer.status] += 1
        if answer.status == 308:
            self.url = answer.headers["location"].removesuffix("/api/v1/sync/pieces")
        return answer.status


@dataclass(frozen=True)
class Cell:
    """A whole installation: a database of its own, and a server."""

    database: Database
    settings: dict[str, str]
    server: Server

    def manage(self, *command: str) -> Any:
        return json.loads(manage(self.settings, *command, "--json"))

    def rows(self, company: str) -> set[tuple[str, str]]:
        """All that there is of the company, as PostgreSQL shows it."""
        found = set()
        for table in TABLES:
            query = f"SELECT t::text FROM {table} t WHERE company_guid = %s"  # names of ours
            found |= {(table, str(row)) for (row,) in self.database.rows(query, [company])}
        return found


@contextmanager
def cell(workers: int) -> Iterator[Cell]:
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        settings = environment(database.url)
        manage(settings, "migrate", "--verbosity=0")
        server = stack.enter_context(Server(settings, workers=workers, application="ractory.wsgi"))
        yield Cell(database, settings, server)


def customer(old: Cell, name: str, pieces: int) -> tuple[str, Pusher]:
    """A company with a key and this many pieces, and who pushes more of them."""
    company = old.manage("create_company", name)["guid"]
    key = old.manage("create_api_key", "--company", company, "--scopes", "sync:read,sync:write")["key"]
    above = {"company_guid": company, "project_guid": str(uuid.uuid4()), "component_guid": str(uuid.uuid4())}
    with Client(old.server.url, key) as client:
        list(push(client, "projects", [{"guid": above["project_guid"], "code": name, "company_guid": company}]))
        component = {**above, "guid": above["component_guid"], "code": name}
        list(push(client, "components", [component]))
        items = ({**above, "piece_id": str(number), "barcode": str(number)} for number in range(pieces))
        for result in push(client, "pieces", items):
            if result.outcome != "acknowledged":
                raise RuntimeError(f"a batch was {result.outcome}")
    return company, Pusher(old.server.url, key, above)


def move(folder: Path, pieces: int = PIECES) -> dict[str, Any]:
    """Figures; the one of `lost` counts rows that were acknowledged or were there, and are not in the new place."""
    archive = str(folder / "company.gz")
    with cell(workers=3) as old, cell(workers=2) as new:
        company, pusher = customer(old, "Moves", pieces)
        _, other = customer(old, "Stays", 1000)
        pusher.start()
        other.start()
        time.sleep(2)
        started = time.monotonic()
        old.manage("move_company", company, "--close")
        exported = old.manage("export_company", company, archive)["rows"]
        left = old.rows(company)
        new.manage("import_company", archive)
        old.manage("move_company", company, "--to", new.server.url)
        seconds = time.monotonic() - started
        time.sleep(2)
        removed = old.manage("delete_company", company, "--archive", archive, "--yes")["rows"]
        for thread in (pusher, other):
            thread.stopping.set()
            thread.join()
        arrived = new.rows(company)
        there = {str(guid) for (guid,) in new.database.rows("SELECT guid FROM pieces_piece WHERE is_active")}
        return {
            "rows exported": exported,
            "rows removed": removed,
            "seconds closed": round(seconds, 1),
            "longest wait of its client, s": round(pusher.longest, 1),
            "answers of its client": dict(pusher.answers),
            "answers of another company": dict(other.answers),
            "longest wait of another company, s": round(other.longest, 2),
            "lost": len(left - arrived) + len(set(pusher.acknowledged) - there),
            "left behind": len(old.rows(company)),
            "broken": sum(value for name, value in new.manage("check_integrity").items() if isinstance(value, int)),
        }


def is_kept(figures: dict[str, Any]) -> bool:
    """Whether nothing was lost or left behind, and the other company noticed nothing."""
    is_whole = not any(figures[name] for name in ("lost", "left behind", "broken"))
    return is_whole and set(figures["answers of another company"]) == {200}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        figures = move(Path(folder))
    for name, value in figures.items():
        print(f"{name:40} {value}")
    return 0 if is_kept(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
