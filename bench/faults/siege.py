"""One siege: a database, a server, proxies and writers, and a reaper that kills and restarts what it can reach."""

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.faults.audit import audit, check_integrity
from bench.faults.database import Database, running_database
from bench.faults.figures import Figures
from bench.faults.proxy import Behaviour, Proxy
from bench.faults.server import Server, environment, manage
from bench.faults.workload import Batch, Item, Place, Workload, contested_pieces
from bench.faults.writers import Routes, Writer
from client.ractory_client import Client, Retry, push

WORKERS, WRITERS = 4, 6
RETRY = Retry(base=0.05, longest=0.5, patience=120.0)
LOSSES: tuple[Behaviour, ...] = ("swallow", "half", "cut")


def _briefly(seconds: float) -> None:
    """The server asks for more patience than a siege has: to press on is the point."""
    time.sleep(min(seconds, RETRY.longest))


def _always(behaviour: Behaviour, number: int) -> Behaviour:
    return behaviour


@dataclass(slots=True)
class Siege:
    """A standing system under test; its seed decides what is sent and what is killed, not when threads meet."""

    database: Database
    environment: Mapping[str, str]
    server: Server
    proxies: Mapping[str, Proxy]
    company: str
    key: str
    figures: Figures
    seed: int
    ledger: list[Batch] = field(default_factory=list)
    rounds: int = 0

    def client(self, url: str | None = None) -> Client:
        return Client(url or self.server.url, self.key, timeout=60, retry=RETRY, sleep=_briefly)

    def guid(self, *path: object) -> str:
        return str(uuid.uuid5(uuid.UUID(self.company), "/".join(map(str, path))))

    def component(self, name: str) -> Item:
        """The guids above pieces of a new project with one component."""
        above: Item = {"company_guid": self.company, "project_guid": self.guid("project", name)}
        guid = self.guid("component", name)
        with self.client() as client:
            project = {"guid": above["project_guid"], "code": name, "company_guid": self.company}
            list(push(client, "projects", [project]))
            list(push(client, "components", [{**above, "guid": guid, "code": name}]))
        return above | {"component_guid": guid}

    def round(self, *, kills: int, batches: int, pause: float, deadline: float) -> None:
        """Lets writers and reaper loose until so many more kills and batches are done, then audits in quiet."""
        self.rounds += 1
        kills, batches = self.figures.total_kills + kills, self.figures.batches + batches
        writers = [self._writer(number) for number in range(WRITERS)]
        reaper = Reaper(self, pause, random.Random(f"{self.seed}/{self.rounds}/reaper"))
        threads: list[Writer | Reaper] = [*writers, reaper]
        for thread in threads:
            thread.start()
        while time.monotonic() < deadline and any(writer.is_alive() for writer in writers):
            if self.figures.total_kills >= kills and self.figures.batches >= batches:
                break
            time.sleep(0.05)
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join()
        for writer in writers:
            self.ledger += writer.ledger
        self.audit()

    def audit(self) -> None:
        audit(self.ledger, database=self.database, figures=self.figures)
        check_integrity(self.environment, self.figures)

    def _writer(self, number: int) -> Writer:
        name = f"r{self.seed}-{self.rounds}-{number}"
        rng = random.Random(f"{self.seed}/{self.rounds}/{number}")
        above = self.component(name)
        place = Place(self.company, above["project_guid"], above["component_guid"], self.component("contested"))
        clients = {"direct": self.client()}
        clients |= {way: self.client(proxy.url) for way, proxy in self.proxies.items()}
        routes = Routes(clients, {way: proxy.lost for way, proxy in self.proxies.items()})
        return Writer(Workload(place, name, rng), routes, self.database, self.figures, rng)


class Reaper(threading.Thread):
    """Kills at random times until told to stop."""

    def __init__(self, siege: Siege, pause: float, rng: random.Random) -> None:
        super().__init__(name="reaper")
        self.siege, self.pause, self.rng = siege, pause, rng
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopping.wait(self.rng.uniform(0, 2 * self.pause)):
                self._strike()
        except Exception as error:
            self.siege.figures.complain("the reaper broke off", f"{type(error).__name__}: {error}")

    def _strike(self) -> None:
        roll, siege = self.rng.random(), self.siege
        if roll < 0.6:
            what, done = "worker at random", siege.server.kill_worker(self.rng)
        elif roll < 0.82:
            what, done = "backend at random", siege.database.kill_backend(self.rng)
        elif roll < 0.92:
            siege.database.restart()
            siege.figures.count("database restarted under load")
            return
        else:
            if siege.database.terminate_backend(self.rng):
                siege.figures.count("connection terminated")
            return
        if done:
            siege.figures.killed(what)


@contextmanager
def siege(seed: int, folder: Path) -> Iterator[Siege]:
    """Everything started, migrated and ready; everything stopped afterwards."""
    fault_log = folder / "faults.ndjson"
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        settings = environment(database.url, FAULT_LOG=str(fault_log))
        manage(settings, "migrate", "--verbosity=0")
        company = json.loads(manage(settings, "create_company", "Besieged", "--json"))["guid"]
        scopes = ("--scopes", "sync:read,sync:write")
        key = json.loads(manage(settings, "create_api_key", "--company", company, *scopes, "--json"))["key"]
        server = stack.enter_context(Server(settings, workers=WORKERS))
        proxies: dict[str, Proxy] = {
            way: stack.enter_context(Proxy(server.port, partial(_always, way))) for way in LOSSES
        }
        made = Siege(database, settings, server, proxies, company, key, Figures(fault_log), seed)
        with made.client() as client:
            list(push(client, "pieces", contested_pieces(made.component("contested"), "at first")))
        yield made
