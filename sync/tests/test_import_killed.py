"""`manage.py import_entities` as a process: killed, interrupted, and taken up again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.faults.server import ROOT, environment
from client.tests.live import database_url
from pieces.models import Component
from sync.models import FileImport, SyncRun
from sync.tests.files import faulty_lines, ndjson, piece_ids, pieces_file, small_piece
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def importing(path: Path | str, company: Company, *arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    """The command on the database of the tests."""
    command = [sys.executable, ROOT / "manage.py", "import_entities", path, "--company", company.guid, *arguments]
    pipe = subprocess.PIPE
    words = [str(word) for word in command]
    process = subprocess.Popen(words, env=environment(database_url()), stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603  # our own command
    with process:
        try:
            yield process
        finally:
            process.kill()


def feed(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()


def wait_for_line(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Until the command says that this line is faulty: then its batch is committed."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith(f"line {number}:".encode()):
            return
    raise AssertionError("the command has ended")


def rows_with_a_fault_at_1500(component: Component) -> list[bytes]:
    rows = [ndjson([small_piece(component, number)]) for number in range(2800)]
    rows[1499] = b'{"piece_id": 1}\n'
    return rows


def test_killed_halfway_a_file_is_taken_up_without_a_row_lost_or_doubled(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    """500 rows more have been read than written when the signal comes; the rows have no guids to be known by."""
    rows, path = rows_with_a_fault_at_1500(component), tmp_path / "pieces.ndjson"
    os.mkfifo(path)
    with importing(path, company) as process, path.open("wb") as pipe:
        pipe.write(b"".join(rows[:2500]))
        pipe.flush()
        wait_for_line(process, 1500)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert (_rows_done(0), len(piece_ids())) == (2000, 1999)
    path.unlink()
    path.write_bytes(b"".join(rows))
    outcome = manage("import_entities", path, "--company", company.guid, "--resume", "--json")
    assert (outcome.code, outcome.json["rows"], outcome.json["inserted"], outcome.json["faulty"]) == (1, 2800, 2799, 1)
    assert piece_ids() == [str(number) for number in range(2800) if number != 1499]
    with every_company():
        received = list(SyncRun.objects.order_by("guid").values_list("received", flat=True))
    assert received == [1000, 1000, 800]


def test_killed_again_and_again_it_still_comes_to_its_end(
    company: Company, component: Component, tmp_path: Path
) -> None:
    """Killed after every batch, at whatever step of the next one that happens to be."""
    path, errors = pieces_file(tmp_path / "pieces.ndjson", component, 3000), tmp_path / "errors"
    rows = path.read_bytes().splitlines(keepends=True)
    for number in range(500, 3000, 1000):
        rows[number] = b"{}\n"
    path.write_bytes(b"".join(rows))
    done, kills = 0, 0
    while done < 3000:
        with importing(path, company, *(["--resume"] if kills else []), "--errors", errors) as process:
            while process.poll() is None and done == (done := _rows_done(done)):
                time.sleep(0.005)
        kills += 1
        done = _rows_done(done)
    with importing(path, company, "--resume", "--errors", errors, "--json") as process:
        out, _ = process.communicate()
    assert b'"inserted": 2997' in out
    assert piece_ids() == [str(number) for number in range(3000) if number % 1000 != 500]
    assert [row["line"] for row in faulty_lines(errors)] == list(range(501, 3000, 1000))


def _rows_done(before: int) -> int:
    with every_company():
        progress = FileImport.objects.first()
    return progress.rows if progress else before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_between_two_batches_and_it_says_how_to_go_on(
    company: Company, component: Component, number: signal.Signals
) -> None:
    """The signal comes while it reads: the rows after the second batch are more than the pipe holds, too few for a
    third batch, and the pipe stays open."""
    rows = rows_with_a_fault_at_1500(component)
    rows[2000:] = [ndjson([small_piece(component, at, info2="x" * 1000)]) for at in range(2000, 2800)]
    with importing("-", company) as process:
        feed(process, b"".join(rows))
        process.send_signal(number)
        process.wait(timeout=60)  # or it goes on reading
        assert process.stdout
        assert process.stderr
        out, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 128 + number
    assert err.splitlines()[1:] == [
        b"manage.py import_entities: error: -: stopped; 2000 rows are done, --resume goes on after them"
    ]
    assert out.splitlines()[0].split() == [b"rows", b"2000"]
    with importing("-", company, "--resume", "--json") as process:
        out, _ = process.communicate(b"".join(rows))
    assert b'"inserted": 2799' in out
    assert len(piece_ids()) == 2799


def test_another_stream_is_not_taken_for_the_one_that_stopped(company: Company, component: Component) -> None:
    with importing("-", company) as process:
        process.communicate(ndjson(small_piece(component, number) for number in range(3)))
    with importing("-", company, "--resume") as process:
        _, err = process.communicate(ndjson(small_piece(component, number) for number in range(1, 5)))
    assert process.returncode == 2
    assert b"its first 3 rows are not those that were imported" in err
    assert piece_ids() == ["0", "1", "2"]


def test_without_a_database_it_says_so_and_ends_with_3(company: Company, tmp_path: Path) -> None:
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(b"{}\n")
    command = [sys.executable, str(ROOT / "manage.py"), "import_entities", str(path), "--company", str(company.guid)]
    away = environment(f"sqlite:///{tmp_path}/none/db.sqlite3")
    process = subprocess.run(command, env=away, check=False, capture_output=True, text=True)  # noqa: S603  # our own command
    assert process.returncode == 3
    assert process.stderr.count("\n") == 1
