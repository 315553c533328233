"""A statement that takes too long is cut off: a 503, on a connection that is as good as before."""

import time
from functools import partial
from pathlib import Path

import pytest
from django.db import connection, transaction

from pieces.models import Piece, Project
from pieces.tests.families import family_of, is_active, path_of
from pieces.tests.test_delete_races import threads, wait_until_blocked
from ractory.tests.served import served
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, issue_key

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def test_a_statement_that_waits_too_long_is_a_503_and_the_server_goes_on(tmp_path: Path) -> None:
    company = CompanyFactory.create()
    batch = {"projects": [{"code": "a", "company_guid": str(company.guid)}]}
    headers = {"X_API_Key": issue_key(company)}
    with served(tmp_path / "log", WEB_CONCURRENCY="1", STATEMENT_TIMEOUT="1") as server:
        [worker] = server.workers()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE pieces_project")
            for method, path, body in (("POST", "/sync/projects", batch), ("GET", "/projects", None)):
                answer = server.call(method, f"/api/v1{path}", body, **headers)
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
                assert "took too long" in answer.body.decode()
        assert server.call("POST", "/api/v1/sync/projects", batch, **headers).status == 200
        assert server.workers() == [worker]
    assert Project.across_companies.count() == 1


@pytest.mark.parametrize("kind", ["project", "piece"])
def test_what_takes_all_below_along_has_a_longer_limit(tmp_path: Path, kind: str) -> None:
    """The root is locked at once; the row that others hold is waited for in the statement that deletes."""
    company = CompanyFactory.create()
    family = family_of(company)
    headers = {"X_API_Key": issue_key(company)}
    with served(tmp_path / "log", STATEMENT_TIMEOUT="1", CASCADE_TIMEOUT="60") as server, threads() as start:
        with every_company(), transaction.atomic():
            Piece.objects.select_for_update().get(guid=family.piece.guid)
            deleting = start(partial(server.call, "DELETE", path_of(family[kind]), None, **headers))
            wait_until_blocked()
            time.sleep(1.5)
        answer = deleting.result()
    assert answer.status == (204 if kind == "project" else 503)
    assert is_active(family.piece) == [kind == "piece"]


def test_commands_and_tests_have_no_such_limit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
