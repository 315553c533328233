"""Waiting for a PostgreSQL that may hang: for some seconds, not for as long as it pleases. TCP notices a server that
is dead or a host that has vanished (settings.py), not one that hangs (its disk, its virtual machine, SIGSTOP). Nor does
a long statement prove it: after some seconds of silence another connection asks the server something trivial."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any

import psycopg
from psycopg import OperationalError
from psycopg.errors import ConnectionTimeout, _WaitTimeout

PATIENCE = 3.0  # seconds without an answer, after which the server is asked; the replica has less (settings.py)
ASKED = 2.0  # seconds for a new connection, and then for its answer, when it is doubted that the server is there
TRY_AGAIN = 1.0  # seconds until a silent server is tried again, by one thread


class Silent(OperationalError):
    """The server is there, perhaps, and does not answer."""


class Server:
    """What the threads of this process know of one database server: when it was heard, and until when it counts as
    silent. Then one thread tries it again, and all others are told so at once, or they would be held and queue up."""

    def __init__(self, patience: float) -> None:
        self.patience = patience  # seconds
        self.heard = self.silent_until = 0.0  # by time.monotonic(); 0: it is not silent
        self.asking = Lock()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """Around making a connection to it; gives whether it has been silent. Raises Silent without trying."""
        if was_silent := self.silent_until > 0:
            if monotonic() < self.silent_until:
                raise Silent("the server does not answer")
            self.silent_until = monotonic() + 3 * ASKED  # for the others, while this thread tries
        try:
            yield was_silent
        except OperationalError as error:
            # Any refusal is an answer: too many connections, say.
            hangs = isinstance(error, ConnectionTimeout | Silent)
            self.silent_until = monotonic() + TRY_AGAIN if hangs else 0.0
            raise
        self.heard, self.silent_until = monotonic(), 0.0

    def ask(self, parameters: dict[str, Any]) -> None:
        """Returns if the server answers anything. Raises Silent. One thread asks for all."""
        with self.asking:
            if monotonic() - self.heard < self.patience:
                return
            try:
                with self.tried():
                    asking = Connection.connect(**parameters | {"connect_timeout": int(ASKED)})
                    try:
                        asking.look()
                    finally:
                        asking.pgconn.finish()
            except (ConnectionTimeout, Silent) as error:
                raise Silent("the server does not answer") from error
            except OperationalError:
                self.heard = monotonic()


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
                    self.server.heard = monotonic()
                return result
        return super().wait(gen, interval, timeout)

    def look(self) -> None:
        """Raises Silent if a trivial statement is not answered; for new connections, which have no `server` yet."""
        self.execute(b"SELECT 1")
        self.rollback()
