"""The torture of the change feed: writers that commit late, followers that are killed, a database that is restarted.

At each page the witness asks whether a row had been committed that the cursor has passed by; at the end each follower's
mirror must be, byte for byte, what the server has.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bench.faults.database import Database, running_database, running_replica
from bench.faults.late_writers import PATHS, LateWriter, World
from bench.faults.server import ROOT, Server, environment, manage
from client.ractory_client import Client, Retry

WRITERS, FOLLOWERS, BEHIND = 8, 3, "3600"
Rows = dict[tuple[str, str], str]
TABLES = {"projects": "project", "components": "component", "assemblies": "assembly", "pieces": "piece"}
# Every row with the place of its last act, and its stamp.
PLACES = " UNION ALL ".join(
    f"SELECT '{path}', row.guid, row.updated_at, act.position, act.guid FROM pieces_{kind} AS row "  # our own
    f"JOIN pieces_act AS act ON act.guid = row.changed_in"
    for path, kind in TABLES.items()
)


@dataclass(slots=True)
class Outcome:
    counts: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)  # rows that a cursor has passed by
    differing: list[str] = field(default_factory=list)  # of mirrors at the end

    @property
    def is_clean(self) -> bool:
        return not self.missed and not self.differing


class Follower:
    """`client/ractory_follow.py` as a process with a file."""

    def __init__(self, url: str, key: str, file: Path, limit: int) -> None:
        self.file, self.process = file, None
        command = [sys.executable, str(ROOT / "client" / "ractory_follow.py"), url, str(file), "--limit", str(limit)]
        self.command, self.environment = [*command, "--every", "0.05"], {**os.environ, "RACTORY_KEY": key}

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*self.command, *options], env=self.environment, stderr=subprocess.DEVNULL)

    def mirror(self) -> Rows:
        found: Rows = {}
        with closing(sqlite3.connect(self.file)) as file:
            for path in PATHS:
                rows = file.execute(f"SELECT guid, object FROM {path}").fetchall()  # our own names
                found |= {(path, guid): _sorted(json.loads(text)) for guid, text in rows}
        return found


def _sorted(item: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in item.items() if not name.endswith("_count")}, sort_keys=True)


class Site:
    """A database, two hosts on it, of which one has a clock that is an hour behind, and a company."""

    def __init__(self, stack: ExitStack, folder: Path, way: str, order: str) -> None:
        """`way` is "postgresql", "replica" or "sqlite"; `order` breaks the feed (bench.faults.late_wsgi)."""
        self.database: Database | None = None
        more = {"FEED_ORDER": order, "LOG_LEVEL": "CRITICAL"}
        if way == "sqlite":
            self.url = f"sqlite:///{folder / 'db.sqlite3'}"
        else:
            self.database = stack.enter_context(running_database())
            self.url = self.database.url
            if way == "replica":
                more["REPLICA_URL"] = stack.enter_context(running_replica(self.database)).url
        self.settings = environment(self.url, **more)
        manage(self.settings, "migrate", "--verbosity=0")
        if order == "sequence" and self.database:
            self.database.rows("CREATE SEQUENCE bench_commits START 1000000")
            self.database.rows("GRANT USAGE ON SEQUENCE bench_commits TO ractory")
        self.company = json.loads(manage(self.settings, "create_company", "Followed", "--json"))["guid"]
        scopes = ("--scopes", "sync:read,sync:write")
        made = manage(self.settings, "create_api_key", "--company", self.company, *scopes, "--json")
        self.key = json.loads(made)["key"]
        hosts: list[dict[str, str]] = [{}, {"CLOCK_BEHIND": BEHIND}]
        servers = [Server(self.settings | host, workers=4, application="bench.faults.late_wsgi") for host in hosts]
        self.servers = [stack.enter_context(server) for server in servers]

    def client(self) -> Client:
        retry = Retry(base=0.05, longest=0.5, patience=120)
        return Client(self.servers[0].url, self.key, retry=retry, sleep=lambda pause: time.sleep(min(pause, 0.5)))

    def places(self) -> list[tuple[str, str, Any, tuple[int, str]]]:
        """What is committed, by one statement."""
        if self.database:
            rows = self.database.rows(PLACES)
        else:
            with closing(sqlite3.connect(urlsplit(self.url).path, timeout=60)) as file:
                rows = file.execute(PLACES).fetchall()
        return [(path, _guid(guid), at, (number, _guid(act))) for path, guid, at, number, act in rows]

    def listed(self) -> Rows:
        """What the server has, by its lists."""
        found: Rows = {}
        with self.client() as client:
            for path in PATHS:
                ask = f"/api/v1/{path}?limit=1000&detail=true&include_inactive=true"
                offset, whole = 0, False
                while not whole:
                    page = f"{ask}&offset={offset}"
                    answer, _ = client.insist(partial(client.attempt, "GET", page, Cache_Control="no-cache"), 200)
                    items = json.loads(answer.body)
                    found |= {(path, item["guid"]): _sorted(item) for item in items}
                    offset, whole = offset + len(items), "link" not in answer.headers
        return found


class Witness(threading.Thread):
    """Follows in this process; after each page it looks at what is committed."""

    def __init__(self, site: Site, outcome: Outcome) -> None:
        super().__init__(name="witness")
        self.site, self.outcome, self.stopping = site, outcome, threading.Event()

    def run(self) -> None:
        known: dict[tuple[str, str], Any] = {}
        cursor = ""
        with self.site.client() as client:
            while not self.stopping.is_set():
                path = f"/api/v1/changes?limit=50{cursor and '&after=' + quote(cursor)}"
                answer, _ = client.insist(partial(client.attempt, "GET", path), 200, 410)
                if answer.status == 410:
                    self.outcome.counts["410"] += 1
                    known, cursor = {}, ""
                    continue
                page = json.loads(answer.body)
                cursor = page["cursor"]
                known |= {(change["entity"], change["guid"]): change["updated_at"] for change in page["changes"]}
                self._check(known, cursor)
                self.outcome.counts["pages of the witness"] += 1
                time.sleep(0 if page["more"] else 0.02)

    def _check(self, known: Mapping[tuple[str, str], Any], cursor: str) -> None:
        *_, since, until, entity, _, _ = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[4:])
        if entity and not until:  # in the first copy nothing has been passed by yet
            return
        for path, guid, at, place in self.site.places():
            seen = known.get((path, guid))
            if place <= tuple(since) and (seen is None or _moment(seen) != _moment(at)):
                self.outcome.missed.append(f"{path} {guid} of {place}, {at}: {seen} at {since}")


def _guid(guid: Any) -> str:
    return str(uuid.UUID(str(guid)))


def _moment(at: Any) -> str:
    """A moment in UTC to compare, of PostgreSQL, of SQLite, or of the wire."""
    text = at if isinstance(at, str) else at.isoformat()
    return text.replace(" ", "T").removesuffix("Z").removesuffix("+00:00").ljust(26, "0")


@contextmanager
def _killing(followers: list[Follower], outcome: Outcome, rng: random.Random) -> Iterator[None]:
    """Followers are at work, and one after the other is killed and started again."""
    over = threading.Event()
    running = [follower.start() for follower in followers]

    def reap() -> None:
        while not over.wait(rng.uniform(0.3, 1.5)):
            number = rng.randrange(len(running))
            running[number].kill()
            running[number].wait()
            running[number] = followers[number].start()
            outcome.counts["followers killed"] += 1

    reaper = threading.Thread(target=reap, name="reaper")
    reaper.start()
    try:
        yield
    finally:
        over.set()
        reaper.join()
        for process in running:
            process.kill()
            process.wait()


def torture(folder: Path, *, way: str, seconds: float, seed: int, restarts: int = 0, order: str = "") -> Outcome:
    """Runs it for so many seconds, or until something is missed; by the seed go the writes, not when threads meet."""
    outcome, rng = Outcome(), random.Random(seed)  # no secret
    with ExitStack() as stack:
        site = Site(stack, folder, way, order)
        world = World(site.company, seed)
        with site.client() as client:
            for path in PATHS:
                body = json.dumps({path: world.items[path]}).encode()
                client.insist(partial(client.post, f"/api/v1/sync/{path}", body, f"{seed}-{path}"), 200)
        ports: list[Callable[[], int]] = [partial(getattr, server, "port") for server in site.servers]
        writers = [LateWriter(world, ports[n % 2], site.key, random.Random(f"{seed}/{n}")) for n in range(WRITERS)]
        urls = [server.url for server in site.servers]
        followers = [
            Follower(urls[number % 2], site.key, folder / f"mirror-{number}", limit)
            for number, limit in zip(range(FOLLOWERS), (7, 100, 1000), strict=True)
        ]
        witness = Witness(site, outcome)
        with _killing(followers, outcome, rng):
            for thread in (*writers, witness):
                thread.start()
            for part in range(1, restarts + 2):
                deadline = time.monotonic() + seconds / (restarts + 1)
                while time.monotonic() < deadline and not outcome.missed:
                    time.sleep(0.1)
                if site.database and part <= restarts:
                    site.database.restart()
                    outcome.counts["database restarted"] += 1
            for thread in writers:
                thread.stopping.set()
            for thread in writers:
                thread.join()
                outcome.counts.update(thread.statuses)
            witness.stopping.set()
            witness.join()
        _compare(site, followers, outcome)
    return outcome


def _compare(site: Site, followers: list[Follower], outcome: Outcome) -> None:
    """Each follower comes to its end, and has what the server has."""
    server = site.listed()
    outcome.counts["rows"] = len(server)
    for number, follower in enumerate(followers):
        deadline = time.monotonic() + 60
        while True:  # a replica may still be behind
            assert follower.start("--once").wait(timeout=300) == 0
            mirror = follower.mirror()
            if mirror == server or time.monotonic() > deadline or site.settings.get("REPLICA_URL") is None:
                break
        wrong = [key for key in server.keys() | mirror.keys() if server.get(key) != mirror.get(key)]
        outcome.differing += [f"mirror {number}: {path} {guid}" for path, guid in wrong]
