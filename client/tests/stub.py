"""A server that answers what a test tells it to, and remembers what it was asked."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client.ractory_client import Client, Retry


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b'{"inserted": 1, "updated": 0}'
    headers: dict[str, str] = field(default_factory=dict)
    unread: bool = False  # answers and closes without reading the request


@dataclass(slots=True)
class Stub:
    """`script` is answered in order, then 200 for ever."""

    script: list[Reply] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    connections: int = 0
    pauses: list[float] = field(default_factory=list)  # that the client would have made
    port: int = 0

    def client(self, **options: Any) -> Client:
        retry = Retry(**options)
        return Client(f"http://127.0.0.1:{self.port}", "rfk_test", timeout=5, retry=retry, sleep=self.pauses.append)

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for _, headers, _ in self.requests]


def refusal(*faults: tuple[int, str]) -> Reply:
    """A 422 that names items by index and field."""
    detail = [
        {"loc": ["body", "pieces", index, name], "msg": f"wrong {name}", "type": "wrong"} for index, name in faults
    ]
    return Reply(422, json.dumps({"detail": detail}).encode(), {"X-Sync-Run": "run-1"})


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            stub.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            reply = stub.script.pop(0) if stub.script else Reply()
            if not reply.unread:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                packed = self.headers.get("Content-Encoding") == "gzip"
                body = json.loads(gzip.decompress(raw) if packed else raw) if raw else None
                stub.requests.append((self.path, dict(self.headers), body))
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.unread or "Connection" in reply.headers

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
