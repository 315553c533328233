"""A PostgreSQL of one's own to crash, restart, fill up and replicate, and to look into past every wall of the
application.

It is durable, unless told: what it has acknowledged must survive, as in production.
"""

import logging
import os
import pwd
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psutil
import psycopg

from bench.faults.server import kill_one
from ractory.tests.postgresql import embedded_postgres_url

RECOVERY_SECONDS = 60
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'ractory' AND backend_type = 'client backend'"


class Database:
    """A running server and its superuser's eyes."""

    def __init__(self, url: str, directory: Path | None = None) -> None:
        """Without `directory`, of its data, the server must be running."""
        self.url = url
        self.host = parse_qs(urlsplit(url).query)["host"][0]
        self.admin_dsn = f"host={self.host} user=postgres dbname=ractory"
        self.directory = directory or Path(str(self.rows("SHOW data_directory")[0][0]))

    @property
    def owner(self) -> str:
        """The system's user that the server runs as."""
        return pwd.getpwuid(self.directory.stat().st_uid).pw_name

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, waiting for the server if it is recovering."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                with psycopg.connect(self.admin_dsn, autocommit=True, connect_timeout=10) as connection:
                    cursor = connection.execute(sql.encode(), parameters)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or error.sqlstate not in (None, "57P01", "57P02", "57P03"):
                    raise
                time.sleep(0.02)

    def kill_backend(self, rng: random.Random) -> bool:
        """SIGKILLs the process behind one of the application's connections; the others crash with it."""
        busy = self.rows(f"{BACKENDS} AND state <> 'idle'")
        return kill_one([pid for (pid,) in busy or self.rows(BACKENDS)], rng)

    def terminate_backend(self, rng: random.Random) -> bool:
        """Ends one connection, as an administrator would."""
        pids = [pid for (pid,) in self.rows(BACKENDS)]
        return bool(pids) and bool(self.rows("SELECT pg_terminate_backend(%s)", [rng.choice(pids)])[0][0])

    def restart(self) -> None:
        """Stops at once, without a checkpoint, and starts again by recovery from the log."""
        self._control("restart", "--mode=immediate", "--wait", f"--log={self.directory / 'log'}")

    def stop(self) -> None:
        self._control("stop", "--mode=fast", "--wait")

    def start(self) -> None:
        self._control("start", "--wait", f"--log={self.directory / 'log'}", f"--options=-h '' -k {self.host}")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of it is stopped: connections are taken by the system, and nobody answers on them."""
        server = psutil.Process(int((self.directory / "postmaster.pid").read_text().split()[0]))
        processes = [server, *server.children()]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def copy_to(self, directory: Path) -> "Database":
        """A replica of this one, not yet started, that will stream from it."""
        directory.mkdir(mode=0o700)
        shutil.chown(directory, self.owner)
        options = ("--write-recovery-conf", "--checkpoint=fast")
        self._run("pg_basebackup", f"--pgdata={directory}", f"--dbname={self.admin_dsn}", *options)
        (directory / ".s.PGSQL.5432.lock").unlink()  # copied along, as the socket is among the data
        return Database(f"postgres://ractory@/ractory?host={quote(str(directory), safe='')}", directory)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", f"--pgdata={self.directory}", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        """Runs a program of PostgreSQL's as the user whose the server is."""
        from embedded_postgres._commands import POSTGRES_BIN_PATH

        command = [str(POSTGRES_BIN_PATH / program), *arguments]
        user = self.owner if os.geteuid() == 0 else None
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def running_database(*, durable: bool = True) -> Iterator[Database]:
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)  # it wonders who has stopped its server
    with embedded_postgres_url(durable=durable) as url:
        database = Database(url)
        try:
            yield database
        finally:
            database.stop()  # a restarted one is not known to who started the first


@contextmanager
def running_replica(primary: Database) -> Iterator[Database]:
    replica = primary.copy_to(primary.directory.with_name("replica"))
    replica.start()
    try:
        yield replica
    finally:
        with suppress(subprocess.CalledProcessError):  # it may be down already
            replica.stop()
