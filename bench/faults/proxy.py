"""A TCP proxy that loses what it carries: the answer, half of it, or half of the request."""

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Self

Behaviour = Literal["pass", "swallow", "half", "cut"]
CHUNK = 65536
SECONDS = 120  # that either side may be silent


class Proxy:
    """Forwards each connection's one request to `port`; `choose` says, by the connection's number, what gets lost.

    "swallow" loses the answer, "half" its second half, "cut" the second half of the request. `lost` has the
    bodies of the 200s that did not arrive whole, by Idempotency-Key.
    """

    def __init__(self, port: int, choose: Callable[[int], Behaviour]) -> None:
        self.lost: dict[str, bytes] = {}
        self.counts: dict[Behaviour, int] = {"pass": 0, "swallow": 0, "half": 0, "cut": 0}
        self._upstream, self._choose, self._lock = port, choose, threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    proxy._carry(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _carry(self, client: socket.socket) -> None:
        with self._lock:
            behaviour = self._choose(sum(self.counts.values()))
            self.counts[behaviour] += 1
        client.settimeout(SECONDS)
        request = _request(client).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        with socket.create_connection(("127.0.0.1", self._upstream), timeout=SECONDS) as server:
            server.sendall(request[: len(request) // 2] if behaviour == "cut" else request)
            if behaviour == "cut":
                return
            answer = _until_closed(server)
        if behaviour == "pass":
            client.sendall(answer)
            return
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] == [b"200"]:
            self.lost[_header(request, b"idempotency-key")] = body
        if behaviour == "half":
            client.sendall(answer[: -len(body) // 2])


def _request(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(client)
    length = int(_header(received, b"content-length") or 0) + received.index(b"\r\n\r\n") + 4
    while len(received) < length:
        received += _more(client)
    return received


def _more(client: socket.socket) -> bytes:
    data = client.recv(CHUNK)
    if not data:
        raise ConnectionError("the client has gone")
    return data


def _header(request: bytes, name: bytes) -> str:
    for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.strip().lower() == name:
            return value.strip().decode()
    return ""


def _until_closed(server: Any) -> bytes:
    """As the server does after an answer to `Connection: close`."""
    parts = []
    while data := server.recv(CHUNK):
        parts.append(data)
    return b"".join(parts)
