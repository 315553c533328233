"""A gunicorn of this checkout on a free port, and the smallest HTTP client that can call it."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil

# What is measured is the server, and tests of other things call it as often as they like.
LIMITS = ("THROTTLE_REQUESTS", "THROTTLE_REQUESTS_COMPANY", "THROTTLE_ROWS", "THROTTLE_ROWS_COMPANY")
LOGIN_LIMITS = ("THROTTLE_LOGINS", "THROTTLE_LOGINS_ADDRESS", "THROTTLE_ALL_LOGINS", "THROTTLE_ALL_LOGINS_ADDRESS")
UNLIMITED = dict.fromkeys((*LIMITS, *LOGIN_LIMITS), "off")


class Server:
    """A running gunicorn."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def call(self, method: str, path: str, key: str = "", body: bytes | None = None, expected: int = 200) -> bytes:
        """The body of the answer; one with another status is an AssertionError."""
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)) as connection:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
        assert response.status == expected, answer[:2000]
        return answer

    def memory(self) -> list[float]:
        """Each worker's resident memory in MiB."""
        return [worker.memory_info().rss / 2**20 for worker in psutil.Process(self.pid).children()]


@contextmanager
def gunicorn(workers: int = 1, **environment: str) -> Iterator[Server]:
    """A server with this many workers, on the database that DATABASE_URL names."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # requests wait there until it is up
        command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--bind", f"fd://{listener.fileno()}"]
        command += ["--workers", str(workers), "--log-level", "error"]
        known = os.environ | UNLIMITED | {"LOG_LEVEL": "ERROR"} | environment
        process = subprocess.Popen(command, env=known, pass_fds=[listener.fileno()])
        server = Server(int(listener.getsockname()[1]), process.pid)
    try:
        server.call("GET", "/health")
        yield server
    finally:
        process.terminate()
        process.wait()
