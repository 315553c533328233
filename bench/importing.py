"""A file of full-width pieces through `import_entities`, killed halfway and resumed, beside the sync endpoint.

`python -m bench.importing [--rows N] [--gzip]` measures on a PostgreSQL of its own, with fsync. The pieces have no
guids, so a row that went in twice would be a second piece. A million of them are a file of 2 GB, with `--gzip` of 0.1,
and 4 GB of database. Prints rows of a Markdown table.
"""

import argparse
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

SIZE = 1000
ROOT = Path(__file__).resolve().parents[1]
Line = tuple[str, str, str]  # what, measured, target


class Pieces:
    """Pieces with every optional scalar field set, without guids, numbered; in one assembly of a company."""

    def __init__(self) -> None:
        from pieces.tests.factories import AssemblyFactory
        from sync.tests.batches import full_piece
        from tenants.tests.factories import issue_key

        self.assembly = AssemblyFactory.create()
        self.company = str(self.assembly.company_guid)
        self.key = issue_key(self.assembly.company)
        self._template = full_piece(self.assembly, 1234567)
        del self._template["guid"]

    def row(self, number: int) -> bytes:
        import orjson

        values = {
            name: value.replace("1234567", f"{number:07}") if isinstance(value, str) else value
            for name, value in self._template.items()
        }
        return orjson.dumps(values)

    def batches(self, first: int, count: int) -> list[bytes]:
        """Bodies for the sync endpoint."""
        return [
            b'{"pieces":[%s]}' % b",".join(self.row(start + number) for number in range(SIZE))
            for start in range(first, first + count, SIZE)
        ]

    def write(self, path: Path, count: int) -> None:
        with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
            for number in range(count):
                file.write(self.row(number) + b"\n")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of the command: how it ended, and the most memory that it had, in MiB."""

    code: int
    memory: float
    errors: str


def run_import(path: Path, company: str, *arguments: str, killed: Callable[[], bool] = lambda: False) -> Ended:
    """Runs the command, with SIGKILL as soon as `killed`."""
    command = [sys.executable, str(ROOT / "manage.py"), "import_entities", str(path), "--company", company, *arguments]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if killed():
                os.kill(process.pid, signal.SIGKILL)  # Popen would wait for it, and lose what it used
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        errors.seek(0)
        return Ended(process.returncode, ended[2].ru_maxrss / 1024, errors.read().decode())


def rows_done() -> int:
    from sync.models import FileImport
    from tenants.scope import every_company

    with every_company():
        progress = FileImport.objects.first()
    return progress.rows if progress else 0


def imported_in(since: float) -> tuple[int, float]:
    """The rows of the imports that began after `since`, and their seconds: from the first batch to the last."""
    from datetime import UTC, datetime, timedelta

    from sync.models import SyncRun
    from tenants.scope import every_company

    with every_company():
        runs = SyncRun.objects.filter(actor__startswith="import:", started_at__gt=datetime.fromtimestamp(since, UTC))
        rows = list(runs.order_by("guid").values_list("started_at", "duration_ms", "received"))
    begun, ended = rows[0][0], rows[-1][0] + timedelta(milliseconds=rows[-1][1])
    return sum(row[2] for row in rows), (ended - begun).total_seconds()


def rate_of_endpoint(pieces: Pieces, bodies: Sequence[bytes]) -> float:
    """Rows a second, one client, one worker, after a batch to warm up."""
    from bench.server import gunicorn

    with gunicorn(workers=1) as server:
        server.call("POST", "/api/v1/sync/pieces", pieces.key, bodies[0])
        started = time.perf_counter()
        for body in bodies[1:]:
            server.call("POST", "/api/v1/sync/pieces", pieces.key, body)
        return (len(bodies) - 1) * SIZE / (time.perf_counter() - started)


def measure(rows: int, path: Path) -> Iterator[Line]:
    pieces = Pieces()
    pieces.write(path, rows)
    beside = min(rows, 20_000) // 2 + SIZE  # half of them before the import, half of them after it
    before = rate_of_endpoint(pieces, pieces.batches(rows, beside))
    started = time.time()
    first = run_import(path, pieces.company, killed=lambda: rows_done() >= rows // 2)
    halfway, (count, seconds) = rows_done(), imported_in(started)
    assert first.code == -signal.SIGKILL, first
    resumed = time.time()
    second = run_import(path, pieces.company, "--resume")
    assert second.code == 0, second
    more, more_seconds = imported_in(resumed)
    after = rate_of_endpoint(pieces, pieces.batches(rows + beside, beside))
    rate, endpoint = (count + more) / (seconds + more_seconds), (before + after) / 2
    memory = max(first.memory, second.memory)
    lost, doubled = _lost_and_doubled(rows)
    yield (
        f"import of {rows:,} pieces",
        f"{rate:,.0f} rows/s, sync endpoint {endpoint:,.0f}: {rate / endpoint:.2f}x",
        ">= 0.7x",
    )
    yield "its memory at most", f"{memory:.0f} MiB", "< 300 MiB"
    yield f"killed after {halfway:,}, resumed", f"{lost} lost, {doubled} doubled", "0, 0"


def _lost_and_doubled(rows: int) -> tuple[int, int]:
    from django.db.models import Count

    from pieces.models import Piece
    from sync.models import FileImport
    from tenants.scope import every_company

    with every_company():
        mine = Piece.objects.filter(piece_id__lt=f"piece-{rows:07}")
        counts: dict[str, Any] = mine.aggregate(all=Count("guid"), different=Count("piece_id", distinct=True))
        progress = FileImport.objects.get()
    # A row that was sent twice would be at fault, because its piece_id is taken.
    doubled = counts["all"] - counts["different"] + progress.faulty
    return rows - counts["different"], doubled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--gzip", action="store_true", help="a packed file: less room on the disk")
    options = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        beside_postgresql = [sys.executable, "-m", "ractory.tests.postgresql"]
        again = [*beside_postgresql, sys.executable, "-m", "bench.importing", *sys.argv[1:]]
        return subprocess.run(again, check=False).returncode
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory(prefix="ractory-import-") as folder:
        path = Path(folder) / ("pieces.ndjson.gz" if options.gzip else "pieces.ndjson")
        for what, measured, target in measure(options.rows, path):
            print(f"| {what:54} | {measured:50} | {target:9} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
