"""A statement that takes too long is cut off: a 503, on a connection that is as good as before."""

from pathlib import Path

import pytest
from django.db import connection, transaction

from pieces.models import Project
from ractory.tests.served import served
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
        assert server.call("POST", "/api/v1/sync/projects", batch, **headers).status == 200
        assert server.workers() == [worker]
    assert Project.across_companies.count() == 1


def test_commands_and_tests_have_no_such_limit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
