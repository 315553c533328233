"""docs/nginx.conf as it stands, but for addresses and files, in front of two real hosts and as in compose.yaml."""

import base64
import dataclasses
import json
import os
import re
import signal
import socket
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from itertools import takewhile
from pathlib import Path

import pytest
from django.conf import settings

from bench.faults.server import ROOT, Server, environment, manage
from bench.nginx import COMPOSE, nginx
from ractory.tests.live import Answer, Tenant, call, until

WORKERS = 2  # of each of two hosts
DRIPPING = 300
UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the certificate is made for the test
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True, slots=True)
class Front:
    """nginx as its clients see it."""

    port: int
    tenant: Tenant
    hosts: list[Server]
    environment: dict[str, str]

    def connect(self, source: str = "127.0.0.1") -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", self.port, timeout=60, context=UNVERIFIED, source_address=(source, 0))

    def open(self, stack: ExitStack, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
        """A connection that takes little at a time, on which so much has been sent."""
        plain = stack.enter_context(socket.socket())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(60)
        plain.bind((source, 0))
        plain.connect(("127.0.0.1", self.port))
        opened = stack.enter_context(UNVERIFIED.wrap_socket(plain))
        opened.sendall(sent)
        return opened

    def call(self, method: str, path: str, body: object = None, *, source: str = "127.0.0.1", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        with closing(self.connect(source)) as connection:
            ours = {"Host": "ractory.example.com", "Content-Type": "application/json", "X-API-Key": self.tenant.key}
            connection.request(method, path, sent, ours | named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())


def documented(name: str) -> str:
    """A file as docs/operations.md shows it."""
    lines = (ROOT / "docs/operations.md").read_text().partition(f"    # /etc/nginx/ractory/{name}\n")[2].splitlines()
    return "\n".join(takewhile(lambda line: line.startswith("    "), lines))


def two_hosts(hosts: list[Server]) -> AbstractContextManager[int]:
    site = {name: documented(name) for name in ("hosts.conf", "listen.conf")}
    changes = {f"10.0.0.{11 + place}:8000": f"127.0.0.1:{host.port}" for place, host in enumerate(hosts)}
    return nginx(site, changes | {"listen 443": "listen 127.0.0.1:{port}", "/etc/ssl": "{folder}"})


@contextmanager
def standing(folder: Path) -> Iterator[Front]:
    known = environment(
        f"sqlite:///{folder / 'db.sqlite3'}",
        BEHIND_TLS="true",
        TRUSTED_PROXIES="1",
        ALLOWED_HOSTS="ractory.example.com",
        METRICS_TOKEN="told",
    )
    manage(known, "migrate")
    tenant = Tenant.create(known, "Front Windows")
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(Server(known, workers=WORKERS, application="ractory.wsgi", log=folder / name))
            for name in ("one", "two")
        ]
        yield Front(stack.enter_context(two_hosts(hosts)), tenant, hosts, known)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with standing(tmp_path_factory.mktemp("hosts")) as front:
        yield front


def test_a_batch_goes_in_and_comes_back_over_tls(front: Front) -> None:
    projects = [front.tenant.project(str(number)) for number in range(3)]
    written = front.call("POST", "/api/v1/sync/projects", {"projects": projects})
    assert (written.status, written.json) == (200, {"inserted": 3, "updated": 0})
    page = front.call("GET", "/api/v1/projects?limit=1")
    assert page.status == 200
    assert page.headers["Link"].startswith("<https://ractory.example.com/api/v1/projects?")
    assert "max-age" in page.headers["Strict-Transport-Security"]


def test_a_body_that_is_too_large_is_refused_in_our_words_and_after_who_sends_it(front: Front) -> None:
    large = b" " * (33 * 1024 * 1024)
    answer = front.call("POST", "/api/v1/sync/projects", large)
    assert (answer.status, answer.json) == (413, {"detail": "The body is larger than 33554432 bytes."})
    assert front.call("POST", "/api/v1/sync/projects", large, X_API_Key="").status == 401
    assert front.call("POST", "/api/v1/nope", large).status == 404


HEAD = b"GET /health HTTP/1.1\r\nHost: ractory.example.com\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\0\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/7.0\r\n\r\n", 400),
        (HEAD.replace(b"GET", b"TRACE") + b"\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Content-Length: x\r\n\r\n", 400),
        (HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", 400),
        (HEAD + b"X-A: " + b"a" * 9000 + b"\r\n\r\n", 400),
        (HEAD.replace(b"health", b"a" * 9000) + b"\r\n", 414),
        (HEAD.replace(b"GET", b"POST") + b"Content-Length: 50000000\r\n\r\n", 413),
        (HEAD.replace(b"GET /health", b"POST /api/v1/auth/login") + b"Content-Length: 2000000\r\n\r\n", 413),
        (HEAD.replace(b"health", b"metrics") + b"\r\n", 404),
    ],
)
def test_what_nginx_refuses_by_itself_has_the_form_of_the_api_and_is_no_5xx(
    front: Front, sent: bytes, status: int
) -> None:
    with ExitStack() as stack:
        client = front.open(stack, sent.replace(b"\r\nHost", b"\r\nX-Request-ID: mine\r\nHost"))
        answer = HTTPResponse(client)
        answer.begin()
        assert answer.status == status
        assert set(json.loads(answer.read())) == {"detail"}
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-ID"] == "mine" or status not in (404, 413)  # there it has read the head
        assert answer.headers["X-Request-ID"]


def test_logins_are_limited_by_address_and_what_else_it_asks_for_is_not(front: Front) -> None:
    for path in ("/api/v1/auth/login", "/admin/login/"):
        answers = [front.call("POST", path, {}, source="127.0.0.2") for _ in range(45)]
        limited = [answer for answer in answers if answer.status == 429]
        assert {answer.status for answer in answers} - {422, 403, 429} == set()
        assert limited, path
        assert int(limited[0].headers["Retry-After"]) > 0
        assert limited[0].json == {"detail": "Too many requests from your address."}
        assert front.call("POST", path, {}, source="127.0.0.3").status in (422, 403)
    assert front.call("GET", "/api/v1/auth/me", source="127.0.0.2").status == 200
    assert front.call("GET", "/admin/login/", source="127.0.0.2").status == 200


@pytest.mark.parametrize("batch", [False, True], ids=["lists", "batches"])
def test_many_at_once_from_one_address_wait_and_are_not_refused(front: Front, batch: bool) -> None:
    projects = [{**front.tenant.project("many"), "company_name": "x" * 200} for _ in range(50)]
    body = {"projects": projects}
    assert len(json.dumps(body)) > 10_000

    def ask(number: int) -> int:
        if batch:
            return front.call("POST", "/api/v1/sync/projects", body, source="127.0.0.4").status
        return front.call("GET", "/api/v1/projects", source="127.0.0.4").status

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(40))) == {200}


def test_the_proxy_waits_for_longer_than_a_cascade_may_take() -> None:
    waits = re.search(r"proxy_read_timeout (\d+)s;", (ROOT / "docs/nginx.conf").read_text())
    assert waits
    assert int(waits[1]) > settings.CASCADE_TIMEOUT


UPLOAD = b"POST /api/v1/sync/projects HTTP/1.1\r\nHost: ractory.example.com\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "half",
    [
        HEAD + b"X-A: ",
        UPLOAD + b'Content-Length: 60000\r\n\r\n{"projects": "',
        UPLOAD + b'Transfer-Encoding: chunked\r\n\r\nffff\r\n{"projects": "',
    ],
    ids=["heads", "bodies", "chunks"],
)
def test_others_are_served_while_many_drip(front: Front, half: bytes) -> None:
    with ExitStack() as stack:
        slow = [front.open(stack, half, source=f"127.0.1.{number % 4}") for number in range(DRIPPING)]
        for _ in range(3):
            for client in slow:
                with suppress(OSError):  # nginx has given it up
                    client.sendall(b"a")
            batch = {"projects": [front.tenant.project("beside")]}
            assert front.call("POST", "/api/v1/sync/projects", batch).status == 200
            assert front.call("GET", "/api/v1/projects").status == 200


def test_others_are_served_while_many_read_slowly(front: Front) -> None:
    """Each has an answer to read that no buffer of the system holds."""
    project, picture = front.tenant.project("pictures"), base64.b64encode(bytes(200_000)).decode()
    above = {"company_guid": front.tenant.company, "project_guid": project["guid"], "picture": picture}
    components = [{**above, "code": str(number)} for number in range(25)]
    assert front.call("POST", "/api/v1/sync/projects", {"projects": [project]}).status == 200
    assert front.call("POST", "/api/v1/sync/components", {"components": components}).status == 200
    path = f"/api/v1/components?detail=true&project_guid={project['guid']}"
    whole = len(front.call("GET", path).body)
    assert whole > 6_000_000
    head = HEAD.decode().replace("/health", path) + f"X-API-Key: {front.tenant.key}\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        slow = [front.open(stack, head.encode(), source=f"127.0.2.{number % 4}") for number in range(10 * WORKERS)]
        for _ in range(3):
            for client in slow:
                client.recv(1)
            assert front.call("GET", "/api/v1/projects").status == 200
        answer = b"".join(iter(lambda: slow[0].recv(65536), b""))
        assert len(answer.partition(b"\r\n\r\n")[2]) == whole


def test_only_a_few_exports_run_at_once(front: Front) -> None:
    """What runs is a request that nginx knows the head of; here the rest does not come."""
    path = "/admin/pieces/piece/export/all.csv"
    half = UPLOAD.replace(b"/api/v1/sync/projects", path.encode()) + b"Content-Length: 60000\r\n\r\n"
    with ExitStack() as stack:
        for number in range(3):
            front.open(stack, half, source=f"127.0.3.{number}")
        refused = front.call("GET", path)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert b"Other exports are running" in refused.body
        assert front.call("GET", "/admin/pieces/piece/").status == 302
    until(lambda: front.call("GET", path).status == 302)  # to the login


def test_nobody_notices_that_a_host_reloads(front: Front) -> None:
    for host in front.hosts:
        before = set(host.worker_pids())
        os.kill(host.process.pid, signal.SIGHUP)
        while before & set(host.worker_pids()):
            batch = {"projects": [front.tenant.project("meanwhile")]}
            assert front.call("POST", "/api/v1/sync/projects", batch).status == 200
            assert front.call("GET", "/api/v1/projects").status == 200


def test_in_compose_whoever_ends_tls_before_nginx_says_who_calls_and_how(front: Front) -> None:
    projects = [front.tenant.project(code) for code in ("one page", "and a next")]
    assert front.call("POST", "/api/v1/sync/projects", {"projects": projects}).status == 200
    network = ("--networks", "203.0.113.0/24", "--scopes", "sync:read", "--json")
    made = manage(front.environment, "create_api_key", "--company", front.tenant.company, *network)
    site = {name: (COMPOSE / name).read_text() for name in ("hosts.conf", "listen.conf")}
    changes = {"server server:8000": f"server 127.0.0.1:{front.hosts[0].port}", "listen 80": "listen 127.0.0.1:{port}"}
    with nginx(site, changes | {"172.16.0.0/12": "127.0.0.1"}) as port:
        headers = {"Host": "ractory.example.com", "X_API_Key": json.loads(made)["key"]}
        told = {"X_Forwarded_For": "192.0.2.1, 203.0.113.7", "X_Forwarded_Proto": "https"}
        answer = call(port, "GET", "/api/v1/projects?limit=1", None, **headers, **told)
        assert (answer.status, "max-age" in answer.headers["Strict-Transport-Security"]) == (200, True)
        assert answer.headers["Link"].startswith("<https://ractory.example.com/api/v1/projects?")
        other = {**told, "X_Forwarded_For": "203.0.113.7, 192.0.2.1"}
        assert call(port, "GET", "/api/v1/projects", None, **headers, **other).status == 401
        assert call(port, "GET", "/api/v1/projects", None, **headers).status == 301


def test_in_compose_nginx_can_end_tls_itself(front: Front) -> None:
    tls = COMPOSE.with_name("nginx-tls")
    assert (tls / "hosts.conf").read_text() == (COMPOSE / "hosts.conf").read_text()
    site = {name: (tls / name).read_text() for name in ("hosts.conf", "listen.conf")}
    changes = {"server server:8000": f"server 127.0.0.1:{front.hosts[0].port}", "/etc/nginx/tls": "{folder}"}
    with nginx(site, changes | {"listen 443": "listen 127.0.0.1:{port}"}) as port:
        ended = dataclasses.replace(front, port=port)
        assert ended.call("GET", "/api/v1/projects", X_Forwarded_Proto="http").status == 200
        assert "max-age" in ended.call("GET", "/health").headers["Strict-Transport-Security"]


def test_the_clients_address_is_the_peers_whatever_it_says(front: Front) -> None:
    for network, status in (("127.0.0.0/8", 200), ("203.0.113.0/24", 401)):
        made = manage(
            front.environment,
            *("create_api_key", "--company", front.tenant.company, "--scopes", "sync:read", "--json"),
            *("--networks", network),
        )
        key = json.loads(made)["key"]
        for claimed in ({}, {"X_Forwarded_For": "203.0.113.7"}):
            answer = front.call("GET", "/api/v1/projects", X_API_Key=key, **claimed)
            assert answer.status == status, (network, claimed, answer.body)


def test_metrics_are_not_for_the_outside(front: Front) -> None:
    assert front.call("GET", "/metrics", Authorization="Bearer told").status == 404


def test_when_a_host_goes_the_other_serves_and_when_both_go_it_is_a_503(tmp_path: Path) -> None:
    with standing(tmp_path) as front:
        front.hosts[0].__exit__()
        for _ in range(6):
            body = {"projects": [front.tenant.project(str(uuid.uuid4()))]}
            assert front.call("POST", "/api/v1/sync/projects", body).status == 200
        front.hosts[1].__exit__()
        answer = front.call("GET", "/api/v1/projects")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json == {"detail": "No server answers. Send the request again later."}
