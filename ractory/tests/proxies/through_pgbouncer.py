"""The site through PgBouncer in transaction mode: fewer server connections than workers, and nobody notices.

Each transaction may get another server connection; what one has left on it, the next one would meet.
"""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from bench.faults.database import Database, running_database
from bench.faults.server import Server, environment, manage
from bench.pgbouncer import Pooler, running_pooler
from ractory.tests.live import Tenant
from tenants.scope import company_scope

CONNECTIONS, WORKERS = 2, 4
ROUNDS, PIECES = 8, 50


@dataclass(frozen=True, slots=True)
class Pooled:
    database: Database
    pooler: Pooler
    server: Server
    environment: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    with running_database(durable=False) as database:
        database.rows("ALTER ROLE ractory SET timezone = 'Asia/Tokyo'")  # each worker's connection wants UTC
        with running_pooler(database, connections=CONNECTIONS) as pooler:
            known = environment(pooler.url, PGBOUNCER="true")
            manage(known, "migrate")
            log = tmp_path_factory.mktemp("pooled") / "log"
            with Server(known, workers=WORKERS, application="ractory.wsgi", log=log) as server:
                yield Pooled(database, pooler, server, known)


@dataclass(slots=True)
class Factory:
    """One company that syncs and reads, and complains about what is not its own or not as it was written."""

    site: Pooled
    tenant: Tenant
    above: dict[str, str]
    guids: list[str]

    @classmethod
    def create(cls, site: Pooled, name: str) -> "Factory":
        tenant = Tenant.create(site.environment, name)
        project = tenant.project(name)
        tenant.push(site.server, project)
        above = {"project_guid": project["guid"], "company_guid": tenant.company}
        component = {**above, "guid": str(uuid.uuid4()), "code": name}
        answer = tenant.call(site.server, "POST", "/sync/components", {"components": [component]})
        assert answer.status == 200, answer.body
        guids = [str(uuid.uuid4()) for _ in range(PIECES)]
        return cls(site, tenant, above | {"component_guid": component["guid"]}, guids)

    def sync(self, length: int, **headers: str) -> Any:
        items = [
            {**self.above, "guid": guid, "piece_id": str(number), "outer_length": length}
            for number, guid in enumerate(self.guids)
        ]
        return self.tenant.call(self.site.server, "POST", "/sync/pieces", {"pieces": items}, **headers)

    def work(self) -> None:
        """A round is written by temporary tables, written again (nothing to do), read page by page and one by one."""
        for length in range(1, ROUNDS + 1):
            for _ in range(2):
                answer = self.sync(length)
                assert answer.status == 200, answer.body
            pieces = self.tenant.call(self.site.server, "GET", "/pieces?limit=1000&detail=true").json
            assert {piece["company_guid"] for piece in pieces} == {self.tenant.company}
            assert {piece["outer_length"] for piece in pieces} == {length}
            assert sorted(piece["guid"] for piece in pieces) == sorted(self.guids)
            counted = self.tenant.call(self.site.server, "GET", "/pieces?count=true&search=1&limit=1")
            assert (counted.status, counted.headers["X-Total-Count"]) == (
                200,
                str(sum("1" in str(n) for n in range(PIECES))),
            ), counted.body
            one = self.tenant.call(self.site.server, "GET", f"/pieces/{self.guids[0]}").json
            assert one["outer_length"] == length
            assert self.tenant.call(self.site.server, "GET", f"/pieces/{uuid.uuid4()}").status == 404


@pytest.fixture(scope="module")
def factories(site: Pooled) -> list[Factory]:
    return [Factory.create(site, f"Factory {number}") for number in range(6)]


def test_companies_that_take_turns_on_few_connections_see_their_own_rows(
    site: Pooled, factories: list[Factory]
) -> None:
    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(factory.work) for factory in factories[:5]]:
            done.result()
    backends = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ractory'"
    assert 0 < site.database.rows(backends)[0][0] <= CONNECTIONS
    assert len(site.server.worker_pids()) == WORKERS


def test_the_second_wall_alone_holds_when_companies_take_turns_on_few_connections(
    site: Pooled, factories: list[Factory], django_db_blocker: Any
) -> None:
    """Raw SQL, as if the application's filter were forgotten: a scope that stayed behind would show foreign rows."""
    for factory in factories[:4]:
        assert factory.sync(1).status == 200
    pooled = ConnectionHandler(
        {
            "default": {
                "ENGINE": "tenants.postgresql",
                "NAME": "ractory",
                "USER": "ractory",
                "OPTIONS": {"host": str(site.pooler.folder), "port": "6432"},
            }
        }
    )

    def seen() -> set[str]:
        with pooled["default"].cursor() as cursor:
            cursor.execute("SELECT DISTINCT company_guid::text FROM pieces_piece")
            return {company for (company,) in cursor.fetchall()}

    def look(company: str | None) -> None:
        try:
            for number in range(100):
                with company_scope(uuid.UUID(company)) if company else nullcontext():
                    if number % 2:
                        with transaction_of(pooled["default"]):
                            assert seen() == seen() == ({company} if company else set())
                    else:
                        assert seen() == ({company} if company else set())
        finally:
            pooled.close_all()

    companies = [*(factory.tenant.company for factory in factories[:4]), None, None]
    with django_db_blocker.unblock(), ThreadPoolExecutor(len(companies)) as pool:
        for done in [pool.submit(look, company) for company in companies]:
            done.result()


@contextmanager
def transaction_of(connection: BaseDatabaseWrapper) -> Iterator[None]:
    connection.set_autocommit(False)
    yield
    connection.commit()
    connection.set_autocommit(True)


def test_what_belongs_to_another_company_is_not_found(site: Pooled, factories: list[Factory]) -> None:
    first, second = factories[:2]
    assert first.sync(1).status == 200
    for _ in range(2 * WORKERS):  # whichever worker and connection
        assert second.tenant.call(site.server, "GET", f"/pieces/{first.guids[0]}").status == 404
        theirs = second.tenant.call(site.server, "GET", "/pieces").json
        assert first.tenant.company not in {piece["company_guid"] for piece in theirs}


def test_a_batch_under_a_key_is_written_once_however_many_send_it(site: Pooled, factories: list[Factory]) -> None:
    factory = factories[5]
    items = [{**factory.above, "piece_id": "once"}]
    key = {"Idempotency_Key": str(uuid.uuid4())}

    def send() -> Any:
        return factory.tenant.call(site.server, "POST", "/sync/pieces", {"pieces": items}, **key)

    with ThreadPoolExecutor(8) as pool:
        answers = [sent.result() for sent in [pool.submit(send) for _ in range(24)]]
    written = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} <= {200, 409}
    assert {answer.body for answer in written} == {b'{"inserted":1,"updated":0}'}
    assert sum(answer.headers["Idempotent-Replayed"] is None for answer in written) == 1
    assert len(factory.tenant.call(site.server, "GET", "/pieces?piece_id=once").json) == 1


def test_moments_are_in_utc_whatever_the_servers_time_zone(site: Pooled, factories: list[Factory]) -> None:
    assert site.database.rows("SELECT 1 FROM pg_db_role_setting WHERE 'TimeZone=Asia/Tokyo' = ANY(setconfig)")
    factory = factories[0]
    assert factory.sync(1).status == 200
    in_utc = "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    stored = site.database.rows(f"SELECT {in_utc} FROM pieces_piece WHERE guid = %s", [factory.guids[0]])[0][0]  # noqa: S608  # our own text
    for _ in range(2 * WORKERS):
        listed = factory.tenant.call(site.server, "GET", "/pieces?piece_id=0").json
        assert listed[0]["created_at"] == f"{stored}Z"


def test_connections_that_break_behind_or_before_it_do_no_lasting_harm(site: Pooled, factories: list[Factory]) -> None:
    factory = factories[0]
    site.database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ractory'")
    factory.work()
    site.pooler.stop()
    away = factory.tenant.call(site.server, "GET", "/pieces")
    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    site.pooler.start()
    factory.work()


def test_commands_that_read_everything_work_through_it_beside_others(site: Pooled, factories: list[Factory]) -> None:
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(factory.work) for factory in factories[:2]]
        counts = json.loads(manage(site.environment, "check_integrity", "--json"))
        for done in working:
            done.result()
    assert set(counts.values()) == {0}


def test_this_pooler_does_hand_sessions_on(site: Pooled) -> None:
    """What one client leaves in a session another one meets: otherwise the tests above would show nothing."""
    with psycopg.connect(site.pooler.url, autocommit=True) as one:
        one.execute("SET ractory.note = 'behind'")
    with psycopg.connect(site.pooler.url, autocommit=True) as other:
        left = other.execute("SELECT current_setting('ractory.note', true)").fetchone()
        other.execute("RESET ractory.note")
    assert left == ("behind",)
