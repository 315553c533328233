"""`make demo` as a process (contract, "Running"): whatever ends it, its server ends with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from bench.faults.server import ROOT, environment
from client.tests.live import database_url
from ractory.tests.live import PATIENCE, until
from sync.management.commands.restart_feed import Command
from sync.management.running import held
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def demo(**more: str) -> Iterator["subprocess.Popen[str]"]:
    """The command on the database of the tests; what it leaves running is killed afterwards."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below `nohup` it is ignored, by children too
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.demo"],
            cwd=ROOT,
            env=environment(database_url(), **more),
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def servers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return children


def is_serving(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout
    return any(line.startswith("Serving until Ctrl-C") for line in iter(process.stdout.readline, ""))


# SIGTERM, which is caught as SIGHUP is, comes in the other one.
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGHUP, 128 + signal.SIGHUP)])
def test_a_signal_ends_the_server_too(number: signal.Signals, code: int) -> None:
    with demo() as process:
        assert is_serving(process)
        servers = servers_of(process)
        assert len(servers) > 1  # gunicorn and its workers
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
        assert psutil.wait_procs(servers, PATIENCE)[1] == []


@pytest.mark.parametrize("hangup", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_hangup_ends_a_command_unless_it_runs_below_nohup(
    hangup: signal.Handlers, manage: Manage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is finished first."""
    done = []

    def work(self: Command, **options: object) -> None:
        with held():
            signal.raise_signal(signal.SIGHUP)
            done.append("held")
        signal.raise_signal(signal.SIGHUP)
        done.append("all")

    monkeypatch.setattr(Command, "handle", work)
    before = signal.signal(signal.SIGHUP, hangup)
    try:
        code = manage("restart_feed").code
        assert signal.getsignal(signal.SIGHUP) == hangup
    finally:
        signal.signal(signal.SIGHUP, before)
    is_ignored = hangup == signal.SIG_IGN
    assert (code, done) == ((0, ["held", "all"]) if is_ignored else (128 + signal.SIGHUP, ["held"]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_report_ends_the_server_too(number: signal.Signals) -> None:
    with demo(DEMO_ONCE="1") as process:
        until(lambda: bool(servers_of(process)))
        servers = servers_of(process)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert psutil.wait_procs(servers, PATIENCE)[1] == []


def test_once_it_ends_by_itself_and_so_does_its_server() -> None:
    with demo(DEMO_ONCE="1") as process:
        until(lambda: bool(servers_of(process)))
        servers = servers_of(process)
        report, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert "1000 read back, 1000 equal in every field" in report
        assert psutil.wait_procs(servers, PATIENCE)[1] == []
