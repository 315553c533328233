"""The reference client against a real server with limits: every worker counts, and to wait as told is enough."""

import threading
from collections import Counter as Tally

import pytest
from django.db.models import F

from client.ractory_client import Client, push
from client.tests.live import live_server
from pieces.models import Project
from tenants.models import Company, Counter
from tenants.tests.factories import CompanyFactory, issue_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def company(transactional_db: None) -> Company:
    return CompanyFactory.create()


@pytest.mark.postgresql
def test_a_limit_is_one_limit_for_all_workers_of_a_server(company: Company) -> None:
    keys = [issue_key(company) for _ in range(4)]
    answers: Tally[int] = Tally()

    def ask(url: str, key: str) -> None:
        with Client(url, key) as client:
            for _ in range(40):
                answers[client.attempt("GET", "/api/v1/auth/me").status] += 1

    limits = {"THROTTLE_REQUESTS": "30/hour", "THROTTLE_REQUESTS_COMPANY": "100/hour"}
    with live_server(workers=3, **limits) as server:
        threads = [threading.Thread(target=ask, args=(server.url, key)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {200: 100, 429: 60}


def test_a_client_that_waits_as_told_delivers_everything(company: Company) -> None:
    """Its pauses are taken off the windows' ends: no test waits for a minute."""
    pauses = []

    def let_pass(seconds: float) -> None:
        pauses.append(seconds)
        Counter.objects.update(until=F("until") - int(seconds * 1000))

    items = ({"code": str(number), "company_guid": str(company.guid)} for number in range(60))
    limits = {"THROTTLE_ROWS": "20/minute", "THROTTLE_REQUESTS": "3/minute"}
    with live_server(workers=2, **limits) as server, Client(server.url, issue_key(company), sleep=let_pass) as client:
        results = list(push(client, "projects", items, batch_size=10))
    assert [result.attempts for result in results] == [1, 1, 2, 1, 2, 1]
    assert [50 < pause < 62 for pause in pauses] == [True, True]
    assert sorted(int(row.code) for row in Project.across_companies.all()) == list(range(60))
