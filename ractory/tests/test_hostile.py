"""The parts of bench.hostile: what it reckons, when it fails, and that its attackers send, count and leave off."""

import gzip
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bench.attacks import ADDRESS, Attack, Targets, attacking, attacks, request
from bench.hostile import Figures, report
from ractory.tests.live import until

HELD: dict[str, Any] = {"quiet": [0.004, 0.005, 0.1], "beside": [0.009, 0.015, 0.016], "memory": 400.0}


def test_the_ratio_is_that_of_the_medians() -> None:
    assert Figures("names", quiet=[0.004, 0.005, 9.0], beside=[0.015, 0.01, 0.02]).ratio == pytest.approx(3.0)


def test_it_exits_with_0_if_all_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Figures("names", **HELD, statuses=Counter({"200": 3}))]) == 0
    said = capsys.readouterr().out
    assert "3.00x" in said
    assert "3x200" in said
    assert "MISSED" not in said


@pytest.mark.parametrize(
    "missed",
    [{"beside": [0.0151]}, {"memory": 400.5}, {"faults": Counter({"worker ended": 1})}],
    ids=["slow", "memory", "refused"],
)
def test_it_exits_with_1_if_one_of_them_is_not(missed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Figures("names", **HELD), Figures("logins", **HELD | missed)]) == 1
    assert capsys.readouterr().out.count("MISSED") == 1


def test_the_attacks_are_what_they_say() -> None:
    known = {name: attack for attack in attacks(_targets()) for name in [attack.name]}
    _, _, name = known["names"].connections[0][0].partition(b"\r\n\r\n")
    assert len(name) < 32_000
    assert len(gzip.decompress(name)) > 30_000_000
    moves = [json.loads(sent.partition(b"\r\n\r\n")[2])["components"] for sent in known["collisions"].connections[0]]
    assert len({hash(uuid.UUID(item["guid"])) for item in moves[0]}) == 1
    assert {item["guid"]: item["project_guid"] for item in moves[0]} != {i["guid"]: i["project_guid"] for i in moves[1]}
    heads = [sent.partition(b"\r\n")[0] for sent in known["patterns"].connections[0]]
    assert all(8000 < len(head) <= 8190 for head in heads)  # as long as gunicorn takes


class _Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.peers.add(self.client_address[0])  # type: ignore[attr-defined]
        self.send_response(429)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        server.peers = set()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_an_attacker_comes_from_an_address_of_its_own_and_counts_its_answers_until_it_is_told_to_stop(
    refusing: ThreadingHTTPServer,
) -> None:
    attack = Attack("flood", "", [[request("GET", "/")]] * 2)
    with attacking(refusing.server_address[1], attack) as attacker:
        until(lambda: refusing.peers)  # type: ignore[attr-defined]
        assert not attacker.is_done
    assert attacker.is_done
    assert set(attacker.statuses) <= {"429", "broken"}
    assert attacker.statuses["429"] > 0
    assert refusing.peers == {ADDRESS}


def test_what_is_sent_once_ends_by_itself(refusing: ThreadingHTTPServer) -> None:
    attack = Attack("once", "", [[request("GET", "/"), request("GET", "/")]], once=True)
    with attacking(refusing.server_address[1], attack) as attacker:
        until(lambda: attacker.is_done)
    assert attacker.statuses == {"429": 2}


def _targets() -> Targets:
    guid = str(uuid.uuid4())
    keys = {"key": "rfk_a", "reader": "rfk_b", "pictures": "rfk_c"}
    return Targets(
        company=guid, project=guid, others=["one", "two"], accounts=["a@example.com"] * 3, password="right", **keys
    )
