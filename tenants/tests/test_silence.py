"""What a connection does while its server says nothing; one that hangs: ractory/tests/test_silent_database.py."""

from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg.errors import ConnectionTimeout

from tenants.postgresql.silence import Connection, Server, Silent

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def impatient() -> Iterator[Server]:
    """The test's connection, on which silence is doubted soon."""
    connection.ensure_connection()
    own: Connection = connection.connection
    before, own.server = own.server, Server(patience=0.1)
    yield own.server
    own.server = before


def test_a_long_statement_of_a_server_that_answers_is_waited_for(impatient: Server) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'done', pg_sleep(0.5)")
        assert cursor.fetchone() == ("done", "")


def test_a_statement_is_given_up_once_the_server_is_known_to_be_silent(impatient: Server) -> None:
    impatient.silent_until = monotonic() + 60
    with pytest.raises(OperationalError, match="does not answer"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")


def test_one_thread_at_a_time_tries_a_silent_server_again() -> None:
    server = Server(patience=3)
    with pytest.raises(ConnectionTimeout), server.tried():
        raise ConnectionTimeout
    with pytest.raises(Silent), server.tried():
        pass
    server.silent_until = monotonic()  # the time is over
    with server.tried() as was_silent:
        assert was_silent
        with pytest.raises(Silent), server.tried():
            pass
    with server.tried() as was_silent:
        assert not was_silent


def test_a_server_that_refuses_is_not_silent() -> None:
    server = Server(patience=3)
    server.silent_until = monotonic()
    with pytest.raises(psycopg.OperationalError), server.tried():
        raise psycopg.OperationalError("too many connections")
    with server.tried() as was_silent:
        assert not was_silent
