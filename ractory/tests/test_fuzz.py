"""The fuzzer's short form: some thousand requests that no client would send, each answer held against the contract.

The seed is another one each time; FUZZ_SEED repeats one. The long form is `make fuzz`.
"""

import json
import logging
import os
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from bench.fuzzing.campaign import Campaign
from bench.fuzzing.minimise import minimised
from bench.fuzzing.oracle import Oracle
from bench.fuzzing.surface import Surface
from bench.fuzzing.wire import Answer, Request
from bench.fuzzing.world import MARKERS, Somebody, World, hidden_guid

REQUESTS = 1000


@pytest.fixture
def _unsafe_disk(transactional_db: None) -> Iterator[None]:
    """No waiting for the disk: thousands of commits to a file of SQLite's."""

    def relax(connection: Any, **signal: Any) -> None:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA synchronous = OFF")

    connection.close()
    connection_created.connect(relax)
    yield
    connection_created.disconnect(relax)
    connection.close()


@pytest.mark.usefixtures("_unsafe_disk")
def test_nothing_that_is_sent_is_answered_as_none_may_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(10**9))
    campaign = Campaign(seed)
    campaign.world.begin()
    campaign.round(0, REQUESTS)
    figures = campaign.figures
    found = "\n\n".join(map(str, figures.findings))
    assert not figures.found, f"FUZZ_SEED={seed} repeats this\n\n{found}"
    assert (figures.requests, figures.checks) == (REQUESTS, 1)
    assert {status for _, status in figures.answers} >= {200, 204, 400, 401, 403, 404, 405, 415, 422}


GUID = "0199d5a0-2b6c-7c1e-8a3f-5d1f2e3a4b5c"
HEADERS = {"X-Request-ID": "1", "Content-Type": "application/json"}
READ = Request(method="GET", path="/api/v1/projects", caller="A key sync:read")
SYNC = Request(method="POST", path="/api/v1/sync/projects/", caller="A key sync:write")
PAGE = Request(method="GET", path="/admin/pieces/piece/", caller="A staff")
RIGHT = [
    (READ, 200, {}, b"[]"),
    (READ, 404, {}, b'{"detail":"None."}'),
    (READ, 422, {}, b'{"detail":[{"loc":["query","limit"],"msg":"No.","type":"int_range"}]}'),
    (READ.with_(method="PUT"), 405, {"Allow": "GET"}, b'{"detail":"No."}'),
    (READ.with_(path="/api/v1/nothing"), 404, {}, b'{"detail":"None."}'),
    (SYNC, 200, {"X-Sync-Run": GUID}, b'{"inserted":1,"updated":0}'),
    (PAGE, 200, {"Content-Type": "text/html"}, MARKERS["A"].encode()),
]
WRONG = {
    "5xx": (READ, 500, {}, b'{"detail":"Internal server error."}'),
    "status": (READ, 409, {}, b'{"detail":"Taken."}'),
    "status of another method": (READ.with_(method="PUT"), 200, {}, b"[]"),
    "header X-Request-ID": (READ, 200, {"X-Request-ID": "a b"}, b"[]"),
    "header that can't be sent": (READ, 200, {"Link": "a\nb"}, b"[]"),
    "header Content-Length": (READ, 200, {"Content-Length": "3"}, b"[]"),
    "header WWW-Authenticate": (READ, 401, {}, b'{"detail":"Who?"}'),
    "header X-Sync-Run": (SYNC, 200, {}, b'{"inserted":1,"updated":0}'),
    "leak of a text": (PAGE, 200, {"Content-Type": "text/html"}, f"<p>{MARKERS['B']}".encode()),
    "leak of a guid": (READ, 404, {}, b'{"detail":"' + hidden_guid("B", "projects").encode() + b'"}'),
    "leak of a row": (READ, 200, {}, b'[{"company_guid":"' + GUID.encode() + b'"}]'),
    "leak of the secret": (READ, 404, {}, b'{"detail":"rfk_secret"}'),
    "envelope of a list": (READ, 404, {}, b'{"detail":["None."]}'),
    "envelope of a text": (READ, 422, {}, b'{"detail":"No."}'),
    "envelope of too many": (READ, 422, {}, b'{"detail":[' + b",".join([b"{}"] * 102) + b"]}"),
    "envelope of a fault": (READ, 422, {}, b'{"detail":[{"loc":["path"],"msg":"No.","type":"x"}]}'),
    "body that is no JSON": (READ, 200, {}, b"[NaN"),
    "body of another type": (READ, 200, {"Content-Type": "text/html"}, b"[]"),
    "body of a sync": (SYNC, 200, {"X-Sync-Run": GUID}, b'{"inserted":1}'),
}


@pytest.fixture
def oracle() -> Oracle:
    world = World()
    world.companies = {name: uuid.uuid4() for name in MARKERS}
    world.callers = {request.caller: Somebody(request.caller, "A", "") for request in (READ, SYNC, PAGE)}
    world.secrets = dict.fromkeys(world.callers, "rfk_secret")
    return Oracle(world, Surface())


def complaints(oracle: Oracle, request: Request, status: int, headers: dict[str, str], body: bytes) -> list[str]:
    return list(oracle.complaints(request, Answer(status, list((HEADERS | headers).items()), body)))


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case[0].path} {case[1]}")
def test_nothing_is_said_of_a_right_answer(oracle: Oracle, case: tuple[Request, int, dict[str, str], bytes]) -> None:
    assert complaints(oracle, *case) == []


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_answer_is_complained_of_by_its_rule_alone(oracle: Oracle, rule: str) -> None:
    assert [said.partition(":")[0] for said in complaints(oracle, *WRONG[rule])] == [rule.partition(" ")[0]]


def test_a_scope_that_outlives_its_request_is_complained_of(oracle: Oracle) -> None:
    answer = Answer(200, list(HEADERS.items()), b"[]", leaves_scope=True)
    assert list(oracle.complaints(READ, answer)) == ["scope: one is left behind"]


def test_a_receipt_belongs_to_one_request_or_to_its_replay(oracle: Oracle) -> None:
    first = (SYNC, 200, {"X-Sync-Run": GUID}, b'{"inserted":1,"updated":0}')
    replayed = (SYNC, 200, {"X-Sync-Run": GUID, "Idempotent-Replayed": "true"}, b'{"inserted":1,"updated":0}')
    assert [len(complaints(oracle, *answer)) for answer in (first, first, replayed)] == [0, 1, 0]
    stranger = (SYNC.with_(caller=PAGE.caller), *replayed[1:])
    assert len(complaints(oracle, *stranger)) == 1


def test_what_is_found_is_made_small() -> None:
    body = b'{"pieces":[' + b'{"piece_id":"1"},' * 20 + b'{"piece_id":"\x00"}]}'
    large = SYNC.with_(query="dry_run=1&match=x", headers=(("Prefer", "x"), ("X-Odd", "y")), body=body)

    def fails(request: Request) -> bool:
        return b"\x00" in request.body and "match" in request.query and bool(request.header("X-Odd"))

    small = minimised(large, fails)
    assert small == SYNC.with_(query="match=x", headers=(("X-Odd", "y"),), body=b"\x00")
    assert minimised(SYNC, fails) is None


def test_a_request_survives_being_written_down() -> None:
    request = SYNC.with_(headers=(("X-Odd", "\xff"),), body=bytes(range(256)), breaks_off=5)
    assert Request.from_json(json.loads(json.dumps(request.as_json()))) == request
