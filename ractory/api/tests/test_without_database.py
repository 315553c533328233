"""What requests get while the database is away: a 503 that says when to come back, and one entry in the log."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from ractory.api.tests.client import Api
from ractory.api.tests.test_health import without_database
from tenants.models import Company
from tenants.tests.staff import admin_of

pytestmark = pytest.mark.django_db

Ask = Callable[[], Any]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[Ask], Any]:
    """What is answered without a database, once it is seen to be a 503 that has been logged, with its cause, once."""

    def answer_to(ask: Ask) -> Any:
        with caplog.at_level(logging.WARNING):
            answer = without_database(monkeypatch, ask)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info
        return answer

    return answer_to


def test_the_api_says_so_in_json(away: Callable[[Ask], Any], api: Api, key: str) -> None:
    answer = away(lambda: api.with_key(key).get("/api/v1/pieces"))
    assert answer.json() == {"detail": "The database does not answer. Send the request again later."}


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admin_says_so_on_a_page(away: Callable[[Ask], Any], company: Company, method: str) -> None:
    staff = admin_of(company)
    staff.raise_request_exception = False
    answer = away(lambda: getattr(staff, method)("/admin/pieces/piece/"))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>The database does not answer</h1>" in answer.content.decode()


def test_the_login_page_says_so_too(away: Callable[[Ask], Any], company: Company) -> None:
    staff = admin_of(company)
    staff.raise_request_exception = False
    staff.cookies.clear()
    form = {"username": "anna@example.com", "password": "x"}
    assert "<h1>" in away(lambda: staff.post("/admin/login/", form)).content.decode()
