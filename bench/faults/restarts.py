"""Two hosts behind a proxy, restarted one after the other while clients that keep their connections go on."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from ssl import SSLContext

from bench.faults.server import ROOT, Server

CLIENTS = 6
BETWEEN = 3  # seconds between a host that is ready and the next restart: longer than the proxy's fail_timeout


class Host(Server):
    """A gunicorn as an operator starts it, and starts it again, on a port that stays."""

    def __init__(self, known: dict[str, str], port: int, log: Path) -> None:
        super().__init__(known | {"PORT": str(port), "WEB_CONCURRENCY": "2"}, workers=2, log=log)
        self.port = port

    def __enter__(self) -> "Host":
        self.start()
        return self

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "ractory.wsgi"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=dict(self.environment))
        self._wait_until_up()

    def restart(self) -> None:
        """By the recipe of docs/operations.md, "Rolling restart"."""
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(timeout=60):
            raise RuntimeError(f"the host ended with {code}")
        self.start()
        while not self._is_ready():
            time.sleep(0.1)
        time.sleep(BETWEEN)

    def _is_ready(self) -> bool:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", "/api/v1/health")
            return connection.getresponse().status == 200


@dataclass
class Traffic:
    """What clients saw: how often each status, or each way that a connection broke; the slowest answer in seconds."""

    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, seconds: float) -> None:
        with self.lock:
            self.answers[what] += 1
            self.slowest = max(self.slowest, seconds)


@contextmanager
def traffic(port: int, company: str, key: str, context: SSLContext) -> Iterator[Traffic]:
    """Six clients that list and sync in turn, each on a connection that it keeps for as long as the proxy does."""
    seen, stopping = Traffic(), threading.Event()
    headers = {"Host": "ractory.example.com", "Content-Type": "application/json", "X-API-Key": key}

    def ask(connection: HTTPSConnection, number: int) -> str:
        if number % 2:
            connection.request("GET", "/api/v1/projects?limit=1", headers=headers)
        else:
            body = json.dumps({"projects": [{"code": str(number), "company_guid": company}]})
            connection.request("POST", "/api/v1/sync/projects", body, headers)
        with connection.getresponse() as response:
            response.read()
            return str(response.status)

    def work() -> None:
        with closing(HTTPSConnection("127.0.0.1", port, timeout=60, context=context)) as connection:
            number = 0
            while not stopping.wait(0.02):
                number, started = number + 1, time.monotonic()
                try:
                    what = ask(connection, number)
                except OSError as error:
                    what = type(error).__name__
                    connection.close()
                seen.note(what, time.monotonic() - started)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(stopping.set)
        yield seen


def rolling(hosts: list[Host], rounds: int) -> None:
    for _ in range(rounds):
        for host in hosts:
            host.restart()
