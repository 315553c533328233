"""docs/nginx.conf, as it stands there but for addresses and files, in front of two real hosts."""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from bench.faults.server import ROOT, Server, environment, manage
from ractory.tests.live import Answer, Tenant, until
from ractory.tests.served import free_port

WORKERS = 2  # of each of two hosts
PATIENT = "body_timeout 600s"  # a slow client is not cut off before its test ends
MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """nginx as its clients see it."""

    port: int
    tenant: Tenant
    hosts: list[Server]
    environment: dict[str, str]

    def connect(self) -> HTTPSConnection:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # made for this test
        return HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        with closing(self.connect()) as connection:
            ours = {"Host": "ractory.example.com", "Content-Type": "application/json", "X-API-Key": self.tenant.key}
            connection.request(method, path, sent, ours | named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())


@contextmanager
def nginx(hosts: list[Server]) -> Iterator[int]:
    """The port on which it listens."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError("There is no nginx: apt-get install nginx-light")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ractory-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certify(folder)
        site = (ROOT / "docs/nginx.conf").read_text()
        changes = {"10.0.0.11:8000": f"127.0.0.1:{hosts[0].port}", "10.0.0.12:8000": f"127.0.0.1:{hosts[1].port}"}
        changes |= {"listen 443": f"listen 127.0.0.1:{port}", "/etc/ssl": name, "body_timeout 30s": PATIENT}
        for old, new in changes.items():
            assert old in site
            site = site.replace(old, new)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)  # noqa: S603  # our own command
        with subprocess.Popen(command) as process:  # noqa: S603  # our own command
            try:
                until((folder / "pid").exists)
                yield port
            finally:
                process.terminate()


def certify(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "ractory.key"), "-out", str(folder / "ractory.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)  # noqa: S603  # our own command


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
        yield Front(stack.enter_context(nginx(hosts)), tenant, hosts, known)


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


def test_a_body_that_is_too_large_is_refused_in_our_words(front: Front) -> None:
    answer = front.call("POST", "/api/v1/sync/projects", b" " * (33 * 1024 * 1024))
    assert (answer.status, answer.json) == (413, {"detail": "The body is larger than 33554432 bytes."})


def test_slow_clients_hold_no_worker(front: Front) -> None:
    """More of them than there are workers, each with half a request that never ends."""
    body = json.dumps({"projects": [front.tenant.project("late")]}).encode()
    with ExitStack() as stack:
        for _ in range(4 * WORKERS):
            connection = stack.enter_context(closing(front.connect()))
            connection.putrequest("POST", "/api/v1/sync/projects")
            headers = {"X-API-Key": front.tenant.key, "Content-Type": "application/json", "Content-Length": len(body)}
            for name, value in headers.items():
                connection.putheader(name, str(value))
            connection.endheaders(body[: len(body) // 2])
        for _ in range(4 * WORKERS):
            assert front.call("GET", "/api/v1/projects").status == 200


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
