"""Lists that make the database look at more rows than they show: how long they may take, how many run at once."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, transaction
from django.http import QueryDict
from pytest_django import Settings

from pieces.filters import PieceFilterSet, ProjectFilterSet
from pieces.tests.factories import PieceFactory
from pieces.tests.families import Family
from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.scope import company_scope, every_company
from tenants.tests.factories import issue_key

QUERIES = ("search=x", "offset=10001", "count=true", "ordering=due_date")


def asked(**query: str) -> QueryDict:
    return QueryDict(urlencode(query))


def test_what_looks_at_more_rows_than_it_shows_is_known(company: Company) -> None:
    costly: dict[str | None, list[dict[str, str]]] = {
        "search": [{"search": "x"}, {"search": "x", "offset": "20000", "count": "true"}],
        "offset": [{"offset": "10001"}],
        "count": [{"count": "true"}, {"count": "1", "ordering": "barcode"}],
        "ordering": [
            {"ordering": text} for text in ("barcode", "-is_active", "updated_at,-guid", "updated_at,piece_id")
        ],
        None: [{}, {"search": ""}, {"offset": "10000"}, {"count": "false"}, {"limit": "1000", "detail": "true"}],
    }
    costly[None] += [
        {"ordering": text} for text in ("guid", "-guid", "updated_at", "-updated_at", "piece_id", "-piece_id")
    ]
    with company_scope(company.guid):
        for parameter, queries in costly.items():
            assert [PieceFilterSet(asked(**query)).form.costly for query in queries] == [parameter] * len(queries)
        assert ProjectFilterSet(asked(ordering="code")).form.costly is None
    with every_company():  # whose indexes begin with a company
        assert ProjectFilterSet(asked(ordering="code")).form.costly == "ordering"
        assert ProjectFilterSet(asked(ordering="-guid")).form.costly is None


@pytest.mark.django_db
def test_what_ends_one_text_and_begins_the_next_is_not_found(reader: Api, family: Family) -> None:
    """Though the texts are compared in one, with a control character between them that a text may hold as well."""
    piece = PieceFactory.create(assembly=family.assembly, barcode="ab", profile_code="cd", trolley="e\1f")
    found = {
        text: [item["guid"] for item in reader.get("/api/v1/pieces", {"search": text}).json()]
        for text in ("ab", "B", "bc", "abcd", "b\1c", "e\1F", "\1", "%", "_", "a%b", "\\", "'")
    }
    mine = [str(piece.guid)]
    assert found == {text: [] for text in found} | dict.fromkeys(("ab", "B", "e\1F", "\1"), mine)


# --- On PostgreSQL: limits --------------------------------------------------------------------


def get(key: str, address: str) -> Any:
    """In a thread of its own, so with a connection of its own."""
    try:
        return Api().with_key(key).get(address)
    finally:
        connection.close()


@contextmanager
def waiting(*calls: tuple[str, str]) -> Iterator[list[Future[Any]]]:
    """The calls, by key and address, under way: those that read pieces wait until the context ends."""
    with ThreadPoolExecutor(10) as pool, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE pieces_piece")
        yield [pool.submit(get, *call) for call in calls]


def until_waiting(number: int) -> None:
    """Until so many statements wait for a table."""
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
            if cursor.fetchone() == (number,):
                return
        time.sleep(0.01)
    raise AssertionError("They do not wait")


def in_a_thread(*calls: tuple[str, str]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(get, *call) for call in calls]]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_that_takes_too_long_is_a_422_that_says_what_to_narrow(
    key: str, family: Family, settings: Settings
) -> None:
    settings.SEARCH_TIMEOUT = 0.1
    queries = {"search": "search=x", "offset": "offset=10001", "count": "count=true", "ordering": "ordering=barcode"}
    addresses = {name: (key, f"/api/v1/pieces?{query}") for name, query in queries.items()}
    settings.SEARCHES_AT_ONCE = len(queries)
    with waiting(*addresses.values()) as calls:
        answers = [call.result() for call in calls]
    for parameter, answer in zip(addresses, answers, strict=True):
        assert answer.status_code == 422
        [fault] = answer.json()["detail"]
        assert (fault["loc"], fault["type"]) == (["query", parameter], "too_slow")
        assert "narrow" in fault["msg"]
    assert [answer.status_code for answer in in_a_thread(*addresses.values())] == [200] * 4


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_limits_end_with_the_list(reader: Api, family: Family) -> None:
    assert reader.get("/api/v1/pieces?search=x").status_code == 200
    with connection.cursor() as cursor:
        for setting in ("statement_timeout", "max_parallel_workers_per_gather"):
            cursor.execute("SELECT setting = reset_val FROM pg_settings WHERE name = %s", [setting])
            assert cursor.fetchone() == (True,)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_caller_has_two_running_and_the_third_is_a_429(key: str, company: Company, family: Family) -> None:
    other = issue_key(company)
    with waiting((key, "/api/v1/pieces?search=x"), (key, "/api/v1/pieces?count=true")) as calls:
        until_waiting(2)
        # What follows asks for projects, which nobody has locked.
        refused = in_a_thread(*((key, f"/api/v1/projects?{query}") for query in QUERIES))
        fine = in_a_thread((key, "/api/v1/projects?ordering=-updated_at"), (other, "/api/v1/projects?search=x"))
        assert [answer.status_code for answer in fine] == [200, 200]
    assert [call.result().status_code for call in calls] == [200, 200]
    for answer in refused:
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert "2 lists" in answer.json()["detail"]
    assert [answer.status_code for answer in in_a_thread((key, "/api/v1/projects?search=x"))] == [200]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("allowed", "running"), [(3, 3), (0, 5)])
def test_an_operator_may_allow_more_of_them_or_any_number(
    key: str, family: Family, settings: Settings, allowed: int, running: int
) -> None:
    settings.SEARCHES_AT_ONCE = allowed
    with waiting(*[(key, "/api/v1/pieces?count=true")] * running) as calls:
        until_waiting(running)
    assert [call.result().status_code for call in calls] == [200] * running
