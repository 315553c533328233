"""Reads on a streaming replica: a real primary, a real replica, and a real server that knows both."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from bench.faults.database import Database, running_database, running_replica
from bench.faults.server import Server, environment, manage
from ractory.tests.live import Tenant, call, until

pytestmark = pytest.mark.postgresql


@dataclass(frozen=True, slots=True)
class Pair:
    primary: Database
    replica: Database
    tenant: Tenant
    environment: dict[str, str]

    @contextmanager
    def behind(self) -> Iterator[None]:
        """The replica gets the log, but does not replay it."""
        self.replica.rows("SELECT pg_wal_replay_pause()")
        until(lambda: self.replica.rows("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        try:
            yield
        finally:
            self.replica.rows("SELECT pg_wal_replay_resume()")

    def serve(self, log: Path, **more: str) -> Server:
        return Server(self.environment | more, workers=1, application="ractory.wsgi", log=log)

    def is_read_from(self, server: Server) -> bool:
        """Whether a list misses what the replica has not replayed."""
        code = str(uuid.uuid4())
        with self.behind():
            self.tenant.push(server, self.tenant.project(code))
            return code not in self.tenant.codes(server)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_database(durable=False) as primary, running_replica(primary) as replica:
        known = environment(primary.url, REPLICA_URL=replica.url, REPLICA_MAX_LAG="3600", LOG_LEVEL="INFO")
        manage(known, "migrate")
        yield Pair(primary, replica, Tenant.create(known, "Twice Windows"), known)


@pytest.fixture(scope="module")
def running(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pair.serve(tmp_path_factory.mktemp("running") / "log") as server:
        yield server


@pytest.fixture
def server(pair: Pair, running: Server) -> Server:
    """One for all tests; whatever happened to the replica in the one before, it is read from again."""
    until(lambda: pair.is_read_from(running))
    return running


def test_lists_and_single_objects_come_from_the_replica(pair: Pair, server: Server) -> None:
    project = pair.tenant.project("seen late")
    with pair.behind():
        pair.tenant.push(server, project)
        assert "seen late" not in pair.tenant.codes(server)
        assert pair.tenant.call(server, "GET", f"/projects/{project['guid']}").status == 404
        assert pair.tenant.call(server, "HEAD", f"/projects/{project['guid']}").status == 404
    until(lambda: "seen late" in pair.tenant.codes(server))


def test_a_list_with_limits_of_its_own_comes_from_the_replica_too(pair: Pair, server: Server) -> None:
    pair.tenant.push(server, pair.tenant.project("searched for"))
    query = "search=searched&count=true&ordering=-due_date"
    until(lambda: pair.tenant.call(server, "GET", f"/projects?{query}").headers["X-Total-Count"] == "1")
    with pair.behind():
        pair.tenant.push(server, pair.tenant.project("searched for late"))
        assert pair.tenant.call(server, "GET", f"/projects?{query}").headers["X-Total-Count"] == "1"


def changes(pair: Pair, server: Server, cursor: str, **headers: str) -> tuple[set[str], str]:
    """The codes of the projects that have changed since, and the next cursor."""
    codes: set[str] = set()
    while True:
        answer = pair.tenant.call(server, "GET", f"/changes?after={cursor}" if cursor else "/changes", **headers)
        assert answer.status == 200, answer.body
        codes |= {change["object"]["code"] for change in answer.json["changes"]}
        cursor = answer.json["cursor"]
        if not answer.json["more"]:
            return codes, cursor


def test_the_change_feed_comes_from_the_replica_and_misses_nothing(pair: Pair, server: Server) -> None:
    pair.tenant.push(server, pair.tenant.project("fed"))
    until(lambda: "fed" in changes(pair, server, "")[0])
    _, cursor = changes(pair, server, "")
    with pair.behind():
        pair.tenant.push(server, pair.tenant.project("fed late"))
        assert changes(pair, server, cursor) == (set(), cursor)
        assert "fed late" not in changes(pair, server, "")[0]
        seen, ahead = changes(pair, server, cursor, Cache_Control="no-cache")
        assert seen == {"fed late"}
        pair.tenant.push(server, pair.tenant.project("fed later"))
        assert changes(pair, server, ahead)[0] == {"fed later"}  # by the primary: the replica is behind the cursor
        first = pair.tenant.call(server, "GET", "/changes?limit=1", Cache_Control="no-cache").json
        copied = {change["object"]["code"] for change in first["changes"]}
        copied |= changes(pair, server, first["cursor"])[0]  # which the replica can't go on with
        assert copied >= {"fed late", "fed later"}
    until(lambda: changes(pair, server, cursor)[0] == {"fed late", "fed later"})


def test_no_row_comes_from_a_replica_that_still_has_what_is_purged(pair: Pair, server: Server) -> None:
    project = pair.tenant.project("purged")
    pair.tenant.push(server, project)
    assert pair.tenant.call(server, "DELETE", f"/projects/{project['guid']}").status == 204
    pair.primary.rows("UPDATE pieces_deletion SET created_at = created_at - interval '9 days'")
    pair.primary.rows("UPDATE pieces_project SET deleted_at = deleted_at - interval '9 days'")
    until(lambda: "purged" in changes(pair, server, "")[0])
    _, cursor = changes(pair, server, "")
    with pair.behind():
        manage(pair.environment, "purge_deleted", "--older-than", "2d")
        assert pair.tenant.call(server, "GET", f"/changes?after={cursor}").status == 410
        assert "purged" not in changes(pair, server, "")[0]


def test_a_caller_who_sends_back_the_receipt_reads_what_it_wrote(pair: Pair, server: Server) -> None:
    first = pair.tenant.push(server, pair.tenant.project("first")).headers["X-Sync-Run"]
    until(lambda: "first" in pair.tenant.codes(server))
    with pair.behind():
        second = pair.tenant.push(server, pair.tenant.project("second")).headers["X-Sync-Run"]
        assert "second" not in pair.tenant.codes(server, X_Sync_Run=first)  # the replica has that one
        for runs in (second, f"{first}, {second}", "not a guid", "", str(uuid.uuid4())):
            assert "second" in pair.tenant.codes(server, X_Sync_Run=runs)


def test_no_cache_asks_the_primary(pair: Pair, server: Server) -> None:
    with pair.behind():
        pair.tenant.push(server, pair.tenant.project("now"))
        assert "now" in pair.tenant.codes(server, Cache_Control="max-age=0, No-Cache")
        assert "now" not in pair.tenant.codes(server, Cache_Control="max-age=0")


def test_the_metrics_tell_how_far_it_is_behind(pair: Pair, tmp_path: Path) -> None:
    def lag(server: Server) -> float:
        text = call(server.port, "GET", "/metrics", Authorization="Bearer told").body.decode()
        return float(text.partition("\nractory_replica_lag_bytes ")[2].partition("\n")[0])

    with pair.serve(tmp_path / "log", METRICS_TOKEN="told") as server:
        until(lambda: lag(server) == 0)
        with pair.behind():
            pair.tenant.push(server, pair.tenant.project("not there yet"))
            until(lambda: lag(server) > 0)
        until(lambda: lag(server) == 0)


def test_receipts_are_true_at_once(pair: Pair, server: Server) -> None:
    with pair.behind():
        run = pair.tenant.push(server, pair.tenant.project("told")).headers["X-Sync-Run"]
        assert pair.tenant.call(server, "GET", f"/sync/runs/{run}").status == 200
        assert pair.tenant.call(server, "GET", "/sync/runs?limit=1").json[0]["guid"] == run


def test_deletion_and_restore_go_by_the_primary(pair: Pair, server: Server) -> None:
    project = pair.tenant.project("coming and going")
    path = f"/projects/{project['guid']}"
    with pair.behind():
        pair.tenant.push(server, project)
        assert pair.tenant.call(server, "DELETE", path).status == 204
        assert pair.tenant.call(server, "DELETE", path).status == 404
        assert pair.tenant.call(server, "POST", f"{path}/restore").status == 204


def test_a_revoked_key_is_refused_at_once(pair: Pair, server: Server) -> None:
    made = manage(
        pair.environment, "create_api_key", "--company", pair.tenant.company, "--scopes", "sync:read", "--json"
    )
    issued = json.loads(made)
    other = Tenant(pair.tenant.company, issued["key"])
    other.codes(server)
    with pair.behind():
        manage(pair.environment, "revoke_api_key", issued["guid"])
        assert other.call(server, "GET", "/projects").status == 401


def test_a_replica_that_is_further_behind_than_allowed_is_left_alone(pair: Pair, tmp_path: Path) -> None:
    with pair.serve(tmp_path / "log", REPLICA_MAX_LAG="1") as server:
        until(lambda: pair.is_read_from(server))
        with pair.behind():
            pair.tenant.push(server, pair.tenant.project("overtaken"))
            until(lambda: "overtaken" in pair.tenant.codes(server))
        until(lambda: pair.is_read_from(server))
    assert "it is too far behind" in (tmp_path / "log").read_text()


def test_the_replicas_loss_is_survived_and_its_return_used(pair: Pair, tmp_path: Path) -> None:
    with pair.serve(tmp_path / "log") as server:
        until(lambda: pair.is_read_from(server))
        pair.replica.stop()
        try:
            pair.tenant.push(server, pair.tenant.project("without"))
            for _ in range(20):
                assert "without" in pair.tenant.codes(server)
            health = pair.tenant.call(server, "GET", "/health")
            assert (health.status, health.json["status"]) == (200, "ok")
            log = (tmp_path / "log").read_text()
            assert log.count("Reads go to the primary, not to the replica") == 1
            assert "ERROR" not in log
        finally:
            pair.replica.start()
        until(lambda: pair.is_read_from(server))
    assert (tmp_path / "log").read_text().count("Reads go to the replica") == 2


def test_a_read_whose_connection_breaks_is_answered_by_the_primary(pair: Pair, server: Server) -> None:
    reading = "FROM pg_stat_activity WHERE usename = 'ractory' AND wait_event_type = 'Lock'"
    locked = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'pieces_project'::regclass"
    pair.tenant.push(server, pair.tenant.project("kept"))
    with psycopg.connect(pair.primary.admin_dsn) as connection:
        connection.execute("LOCK TABLE pieces_project")
        pair.primary.rows("SELECT pg_switch_wal()")  # on its way
        until(lambda: bool(pair.replica.rows(locked)))
        pair.replica.rows("SELECT pg_wal_replay_pause()")  # there the lock stays, when it is gone here
    with ThreadPoolExecutor() as pool:
        codes = pool.submit(pair.tenant.codes, server)
        until(lambda: bool(pair.replica.rows(f"SELECT pid {reading}")))
        pair.replica.rows(f"SELECT pg_terminate_backend(pid) {reading}")
        assert "kept" in codes.result()
    pair.replica.rows("SELECT pg_wal_replay_resume()")
