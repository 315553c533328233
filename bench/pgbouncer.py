"""PgBouncer in transaction mode before an embedded PostgreSQL. The program is Debian's: no wheel carries it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from bench.faults.database import Database

START_SECONDS = 60
CONFIGURATION = """
[databases]
ractory = host={host} dbname=ractory

[pgbouncer]
unix_socket_dir = {folder}
listen_port = 6432
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = {connections}
"""


class Pooler:
    """A running PgBouncer; `url` is what DATABASE_URL may name in place of the database."""

    def __init__(self, database: Database, folder: Path, connections: int) -> None:
        self.folder = folder
        self.url = f"postgres://ractory@/ractory?host={quote(str(folder), safe='')}&port=6432"
        self.owner = database.owner if os.geteuid() == 0 else None
        self.program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if self.program is None:
            raise RuntimeError("There is no pgbouncer: apt-get install pgbouncer")
        (folder / "users").write_text('"ractory" ""\n')
        settings = CONFIGURATION.format(host=database.host, folder=folder, connections=connections)
        (folder / "ini").write_text(settings)

    def start(self) -> None:
        """Returns once it answers."""
        command = [str(self.program), "-q", str(self.folder / "ini")]
        self.process = subprocess.Popen(command, user=self.owner, cwd="/", stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"pgbouncer did not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """At once, whoever is connected."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def running_pooler(database: Database, *, connections: int) -> Iterator[Pooler]:
    """`connections`: how many it opens to the database, whatever the number of clients."""
    folder = Path(tempfile.mkdtemp(prefix="ractory-pgbouncer-"))
    try:
        pooler = Pooler(database, folder, connections)
        if pooler.owner:
            shutil.chown(folder, pooler.owner)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
