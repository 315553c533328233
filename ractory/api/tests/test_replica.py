"""When a replica is fit to be read from; with real servers: ractory/tests/test_replica.py."""

import logging
from dataclasses import dataclass, field

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError

from ractory.api.replica import LOOK_EVERY, PRIMARY, TRY_AGAIN, Replica


@dataclass
class Servers:
    """How far the primary has written and the replica replayed, at a time that passes as told."""

    now: float = 0.0
    written: int = 100
    replayed: int = 100
    down: bool = False
    asked: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def ask(self, alias: str, question: str) -> int:
        self.asked.append(alias)
        if alias == PRIMARY:
            return self.written
        if self.down:
            raise OperationalError("connection refused")
        return self.replayed

    def after(self, seconds: float, *, written: int, replayed: int) -> None:
        self.now, self.written, self.replayed = self.now + seconds, written, replayed


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def replica(servers: Servers) -> Replica:
    return Replica(max_lag=10, clock=servers.clock, ask=servers.ask)


def test_a_replica_that_has_replayed_all_is_fit(replica: Replica) -> None:
    assert replica.is_fit()


def test_it_may_be_behind_by_what_was_written_within_the_bound(servers: Servers, replica: Replica) -> None:
    assert replica.is_fit()
    servers.after(9, written=200, replayed=100)
    assert replica.is_fit()
    servers.after(2, written=200, replayed=199)
    assert not replica.is_fit()
    servers.after(1, written=300, replayed=200)
    assert replica.is_fit()


def test_an_idle_primary_does_not_make_it_late(servers: Servers, replica: Replica) -> None:
    for _ in range(3):
        assert replica.is_fit()
        servers.after(3600, written=100, replayed=100)


def test_without_a_look_in_the_meantime_only_all_will_do(servers: Servers, replica: Replica) -> None:
    assert replica.is_fit()
    servers.after(60, written=500, replayed=499)
    assert not replica.is_fit()
    servers.after(LOOK_EVERY, written=600, replayed=500)
    assert replica.is_fit()


def test_what_was_seen_holds_until_the_next_look(servers: Servers, replica: Replica) -> None:
    assert replica.is_fit()
    servers.after(LOOK_EVERY / 2, written=900, replayed=100)
    assert replica.is_fit()
    assert servers.asked == ["default", "replica"]


def test_a_server_that_is_no_replica_is_not_read_from(servers: Servers, replica: Replica) -> None:
    servers.replayed = -1
    assert not replica.is_fit()


def test_one_that_is_down_is_tried_again_after_some_seconds(
    servers: Servers, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    servers.down = True
    with caplog.at_level(logging.INFO, "ractory.api.replica"):
        for _ in range(50):
            assert not replica.is_fit()
        assert servers.asked == ["default", "replica"]
        servers.down, servers.now = False, TRY_AGAIN
        assert replica.is_fit()
    assert caplog.messages == [
        "Reads go to the primary, not to the replica: connection refused",
        "Reads go to the replica",
    ]


def test_a_lost_connection_of_a_read_closes_it_for_all(servers: Servers, replica: Replica) -> None:
    assert replica.is_fit()
    replica.note(OperationalError("server closed the connection"))
    servers.now += LOOK_EVERY
    assert not replica.is_fit()


def test_a_query_that_was_in_the_way_of_the_replay_does_not(servers: Servers, replica: Replica) -> None:
    assert replica.is_fit()
    conflict = OperationalError("canceling statement due to conflict with recovery")
    conflict.__cause__ = psycopg.errors.SerializationFailure()
    replica.note(conflict)
    replica.note(ProgrammingError("a column that it will have once it has replayed a migration"))
    assert replica.is_fit()
