"""The server as a process, gunicorn with several workers, to be killed one by one."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import psutil

from bench.server import UNLIMITED

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


def environment(database_url: str, **more: str) -> dict[str, str]:
    """The environment of a process of ours on this database."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DEBUG", "ALLOWED_HOSTS", "BEHIND_TLS")}
    return {"SECRET_KEY": "only-for-the-fault-suite-" * 3, **kept, **UNLIMITED, "DATABASE_URL": database_url, **more}


def manage(environment: Mapping[str, str], *command: str) -> str:
    """What `manage.py COMMAND…` prints; CalledProcessError, with its output, if it fails."""
    arguments = [sys.executable, str(ROOT / "manage.py"), *command]
    return subprocess.run(arguments, env=dict(environment), check=True, text=True, capture_output=True).stdout


def kill_one(pids: Sequence[int], rng: random.Random) -> bool:
    """SIGKILLs one of the processes; False if there is none."""
    with suppress(ProcessLookupError):
        if pids:
            os.kill(rng.choice(pids), signal.SIGKILL)
            return True
    return False


class Server:
    """Gunicorn on a free port of 127.0.0.1, as long as the context lives; what it says goes to the file `log`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        workers: int,
        application: str = "bench.faults.wsgi",
        log: Path = Path(os.devnull),
    ) -> None:
        self.environment, self.workers, self.application, self.log = environment, workers, application, log

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        command = [sys.executable, "-m", "gunicorn", self.application, "--bind", f"127.0.0.1:{self.port}"]
        command += ["--workers", str(self.workers), "--threads", "1", "--log-level", "critical", "--timeout", "120"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=dict(self.environment), cwd=ROOT, stderr=log)
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            for pid in [*self.worker_pids(), self.process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def worker_pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def kill_worker(self, rng: random.Random) -> bool:
        return kill_one(self.worker_pids(), rng)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
            except OSError:
                time.sleep(0.05)
            else:
                return
            finally:
                connection.close()
        raise RuntimeError("the server did not start")
