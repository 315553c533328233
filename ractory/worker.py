"""gunicorn's threaded worker, but a thread is given whole requests only, and hands back whole answers.

So a client that drips its bytes, or does not read, holds a socket and some memory, and neither a thread nor a
connection to the database (docs/decisions/0017-slow-clients.md). All else, from parsing to a graceful end, is
gunicorn's `gthread`.
"""

import select
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from gunicorn import http
from gunicorn.errors import ConfigError
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from ractory.framing import Framing

IN_MEMORY = 512 * 1024  # bytes of a request; more of them wait in a file
IN_OUTBOX = 8 * 1024 * 1024  # bytes of an answer; a longer one is written as fast as it is read
# At once from or to a socket. Each time the main loop gives up Python's global lock, a thread that computes may keep it
# for 5 ms: a body in small pieces would crawl.
CHUNK = 1024 * 1024
STALLED = 30  # seconds without a byte, in a request or in an answer, after which a client is dropped
REQUEST = 600  # seconds that a request may take to come in
LINGER = 2  # seconds without a byte that a refused client may go on sending, so that it sees the answer
STOPPING = 2  # seconds without a byte, while the worker stops


class Wire:
    """What the parser reads from and the answer is written to, in place of the socket. It never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.inbox = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed with the connection
        self.outbox = bytearray()

    def recv(self, size: int) -> bytes:
        return self.inbox.read(size)

    def sendall(self, data: bytes) -> None:
        """Raises TimeoutError when a client does not read a long answer."""
        self.outbox += data
        while len(self.outbox) > IN_OUTBOX and not self.flush():
            writable = select.poll()
            writable.register(self.sock, select.POLLOUT)
            if not writable.poll(STALLED * 1000):
                raise TimeoutError("The client does not read.")

    def sendfile(self, file: IO[bytes], offset: int, count: int) -> None:
        file.seek(offset)
        self.sendall(file.read(count))

    def send(self, data: bytes) -> int:
        """gunicorn's `100 Continue`: it comes too late, the body is here (or was not asked for)."""
        return len(data)

    def flush(self) -> bool:
        """Sends what can be sent; whether that is all. Raises OSError when the client has gone."""
        with suppress(BlockingIOError):
            while self.outbox:
                del self.outbox[: self.sock.send(self.outbox[:CHUNK])]
        return not self.outbox

    def fileno(self) -> int:
        return self.sock.fileno()

    def setblocking(self, flag: bool) -> None:
        pass

    def gettimeout(self) -> None:
        return None

    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        self.sock.close()
        self.inbox.close()


class Connection(TConn):  # type: ignore[misc]  # gunicorn carries no types
    def __init__(self, cfg: Any, wire: Wire, client: Any, server: Any, limit: int) -> None:
        super().__init__(cfg, wire, client, server)
        self.initialized = True
        self.started: float | None = None  # since when a thread has it
        self.limit, self.ahead = limit, b""  # bytes of the next request
        self.begin()

    def begin(self) -> None:
        """A request from its first byte."""
        self.framing, self.born, self.keep = Framing(self.limit), time.monotonic(), False
        self.sock.inbox.seek(0)
        self.sock.inbox.truncate()
        self.parser = http.get_parser(self.cfg, self.sock, self.client)

    def take(self, data: bytes) -> None:
        data, self.ahead = self.ahead + data, b""
        used = self.framing.feed(data)
        self.sock.inbox.write(data[:used])
        self.ahead = data[used:]
        if self.framing.wants_100:
            self.framing.wants_100 = False
            self.sock.outbox += b"HTTP/1.1 100 Continue\r\n\r\n"
            self.sock.flush()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn carries no types
    """Each connection waits in the poller, with a deadline; or runs in a thread."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        if cfg.is_ssl:
            raise ConfigError("TLS ends at a proxy: this worker does not speak it.")

    def init_process(self) -> None:
        from django.conf import settings

        self.limit = settings.MAX_BODY_BYTES
        self.waiting: dict[Connection, float] = {}  # until when; who has been waiting longest comes first
        self.running: set[Connection] = set()
        self.swept = 0.0
        super().init_process()

    def notify(self) -> None:
        """No sign of life while a request takes longer than `timeout`: then the arbiter ends the worker."""
        overdue = time.monotonic() - self.timeout
        if not any(conn.started is not None and conn.started < overdue for conn in self.running):
            super().notify()

    def accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            sock, client = listener.accept()
            self.nr_conns += 1
            if self.nr_conns >= self.worker_connections and self.waiting:
                self.drop(next(iter(self.waiting)))
            conn = Connection(self.cfg, Wire(sock), client, listener.getsockname(), self.limit)
            self.receive(conn)
            self.on_bytes(conn)  # most requests are here already

    def wait(self, conn: Connection, event: int, then: Callable[[Connection], None], seconds: float) -> None:
        self.forget(conn)
        self.poller.register(conn.sock, event, lambda wire: then(conn))
        self.waiting[conn] = time.monotonic() + seconds

    def receive(self, conn: Connection) -> None:
        """Waits for a request, of which some may be here already."""
        conn.take(b"")
        if conn.framing.complete:
            self.run_in_thread(conn)
        else:
            self.wait(conn, selectors.EVENT_READ, self.on_bytes, self.cfg.keepalive)

    def on_bytes(self, conn: Connection) -> None:
        data = self.read(conn)
        if data is None:
            return
        if data:
            conn.take(data)
        else:
            conn.framing.give_up()
        if not conn.framing.has_begun:
            self.drop(conn)
        elif conn.framing.complete:
            self.run_in_thread(conn)
        else:
            self.extend(conn, STALLED)

    def extend(self, conn: Connection, seconds: float) -> None:
        """Something came or went: there is more time, but not for ever."""
        patience = seconds if self.alive else min(seconds, STOPPING)
        self.waiting[conn] = min(time.monotonic() + patience, conn.born + REQUEST)

    def run_in_thread(self, conn: Connection) -> None:
        self.forget(conn)
        conn.sock.inbox.seek(0)
        self.running.add(conn)
        self.enqueue_req(conn)

    def handle(self, conn: Connection) -> Any:
        conn.started = time.monotonic()
        keep = super().handle(conn)
        with suppress(OSError):  # which the main loop will meet again
            conn.sock.flush()
        return keep

    def handle_request(self, req: Request, conn: Connection) -> Any:
        if not conn.framing.whole:
            req.force_close()
        return super().handle_request(req, conn)

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        """Called in the main thread, when a thread is done with a request."""
        self.running.discard(conn)
        conn.started, conn.born = None, time.monotonic()
        conn.keep = fs.exception() is None and bool(fs.result()) and conn.framing.whole
        self.answer(conn)

    def answer(self, conn: Connection) -> None:
        try:
            sent = conn.sock.flush()
        except OSError:
            self.drop(conn)
            return
        if not sent:
            self.wait(conn, selectors.EVENT_WRITE, self.answer, STALLED)
        elif conn.keep and self.alive:
            conn.begin()
            self.receive(conn)
        else:
            with suppress(OSError):
                conn.sock.sock.shutdown(socket.SHUT_WR)
            self.wait(conn, selectors.EVENT_READ, self.linger, LINGER)

    def linger(self, conn: Connection) -> None:
        """Reads on until the client closes: a connection closed on unread bytes would take the answer along."""
        if data := self.read(conn):
            self.extend(conn, LINGER)
        elif data is not None:
            self.drop(conn)

    @staticmethod
    def read(conn: Connection) -> bytes | None:
        """What there is, nothing at the end; None if it was a false alarm."""
        try:
            data: bytes = conn.sock.sock.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return data

    def forget(self, conn: Connection) -> None:
        self.waiting.pop(conn, None)
        with suppress(KeyError):
            self.poller.unregister(conn.sock)

    def drop(self, conn: Connection) -> None:
        self.forget(conn)
        self.nr_conns -= 1
        conn.sock.close()

    def murder_pending(self) -> None:
        """gunicorn's own name: called at every turn of the main loop."""
        now = time.monotonic()
        if now - self.swept < 0.5:
            return
        if not self.alive and self.swept:
            for conn in self.waiting:
                self.waiting[conn] = min(self.waiting[conn], now + STOPPING)
        self.swept = now
        for conn in [conn for conn, until in self.waiting.items() if until < now]:
            self.drop(conn)
