"""Waiting for a PostgreSQL that may hang: for some seconds, not for as long as it pleases.

A dead server breaks its connections, and a host that has vanished is noticed by TCP (settings.py). A server that hangs
(its disk, its virtual machine, SIGSTOP) does neither: its host goes on confirming what is sent. That a statement takes
long proves nothing either: after some seconds of silence the server is asked something trivial by another connection.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import psycopg
from psycopg import OperationalError
from psycopg.errors import ConnectionTimeout, _WaitTimeout

PATIENCE = 3.0  # seconds without an answer, after which the server is asked; the replica has less (settings.py)
ASKED = 2.0  # seconds for a new connection, and then for its answer, when it is doubted that the server is there
TRY_AGAIN = 1.0  # seconds until a silent server is tried again, by one thread


class Silent(OperationalError):
    """The server is there, perhaps, and does not answer."""


@dataclass
class Server:
    """What the threads of this process know of one database server: when it was heard, and whether it is silent now.
    Then one thread at a time tries it again, and all others are told so at once, or they would be held and queue up."""

    patience: float  # seconds
    clock: Callable[[], float] = time.monotonic
    heard: float = 0.0
    _silent: bool = False
    _next_try: float = 0.0
    _asking: Lock = field(default_factory=Lock)

    def note_heard(self) -> None:
        self.heard, self._silent = self.clock(), False

    def note_silence(self) -> None:
        self._silent, self._next_try = True, self.clock() + TRY_AGAIN

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """Around making a connection to it; gives whether it has been silent. Raises Silent without trying."""
        was_silent = self._silent
        if was_silent:
            with self._asking:
                if self.clock() < self._next_try:
                    raise Silent("the server has not answered for some time")
                self._next_try = self.clock() + 3 * ASKED  # for the others, while this thread tries
        try:
            yield was_silent
        except (ConnectionTimeout, Silent):
            self.note_silence()
            raise
        except OperationalError:  # a refusal is an answer
            self._silent = False
            raise
        self.note_heard()

    def ask(self, parameters: dict[str, Any]) -> None:
        """Returns if the server answers anything, a refusal too. Raises Silent. One thread asks for all."""
        with self._asking:
            if self._silent:
                raise Silent("the server does not answer")
            if self.clock() - self.heard < self.patience:
                return
            try:
                asking = Connection.connect(**parameters | {"connect_timeout": int(ASKED)})
                try:
                    asking.look()
                finally:
                    asking.pgconn.finish()
            except (ConnectionTimeout, Silent) as error:
                self.note_silence()
                raise Silent("the server does not answer") from error
            except OperationalError:  # refused: too many connections, say
                pass
            self.note_heard()


class Connection(psycopg.Connection[Any]):
    """One that gives up waiting for an answer once its server is known to be silent."""

    server: Server | None = None  # None: it waits for ASKED seconds
    parameters: dict[str, Any]  # of connections to that server

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        while timeout is None:
            try:
                result = super().wait(gen, interval, self.server.patience if self.server else ASKED)
            except _WaitTimeout as error:
                try:
                    if self.server is None:
                        raise Silent("the server does not answer") from error
                    self.server.ask(self.parameters)  # if it answers, the statement takes long, and may
                except Silent:
                    self.pgconn.finish()
                    raise
            else:
                if self.server:
                    self.server.heard = self.server.clock()
                return result
        return super().wait(gen, interval, timeout)

    def look(self) -> None:
        """Raises Silent if a trivial statement is not answered; for new connections, which have no `server` yet."""
        self.execute(b"SELECT 1")
        self.rollback()
