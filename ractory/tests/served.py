"""`gunicorn ractory.wsgi` as an operator starts it, on the tests' database, with its log to read."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.faults.server import ROOT
from client.tests.live import database_url
from ractory.tests.live import PATIENCE, Answer, call, until

TOKEN = "the-scraper's-own"


class Served:
    """A running gunicorn with this many workers."""

    def __init__(self, process: "subprocess.Popen[Any]", port: int, log: Path, count: int = 2) -> None:
        self.process, self.port, self.log, self.count = process, port, log, count

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        return call(self.port, method, path, body, **headers)

    def is_up(self) -> bool:
        """Whether it answers and has all its workers: gunicorn makes them one after the other, up to 0.1 s apart."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("GET", "/health").status == 200 and len(self.workers()) == self.count
        except OSError:
            return False

    def scrape(self) -> str:
        answer = self.call("GET", "/metrics", Authorization=f"Bearer {TOKEN}")
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def metrics(self) -> dict[str, float]:
        """The samples by name and labels, as in the text."""
        found = {}
        for family in text_string_to_metric_families(self.scrape()):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"] = sample.value
        return found

    def workers(self) -> list[int]:
        return sorted(child.pid for child in psutil.Process(self.process.pid).children())

    def lines(self) -> list[dict[str, Any]]:
        """The log so far: every line of it is an object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def __enter__(self) -> Self:
        until(self.is_up)
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.stop()


def free_port() -> int:
    """Not one of those that the system gives to outgoing connections: one of them might come first."""
    while True:
        port = random.randrange(10_000, 30_000)  # noqa: S311  # no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def served(log: Path, *options: str, **environment: str) -> Iterator[Served]:
    """For tests with `transactional_db`: what they commit it sees, and the other way round."""
    port = free_port()
    ours = {"DATABASE_URL": database_url(), "PORT": str(port), "METRICS_TOKEN": TOKEN, "WEB_CONCURRENCY": "2"}
    known = {**os.environ, **ours, **environment}
    command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stderr=stderr, env=known)  # noqa: S603  # our own command
    with Served(process, port, log, int(known["WEB_CONCURRENCY"])) as server:
        yield server
