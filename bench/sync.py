"""The main job over HTTP beside its floor: typed decode, binary COPY, one upsert, and nothing else.

`python -m bench.sync` measures on a PostgreSQL of its own, with fsync, and on SQLite; both sides of each ratio in
turn, in one run. `--rows 1000000 5000000` goes on with as many rows in the table. Prints rows of a Markdown table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

SIZE = 1000


class Bodies:
    """Request bodies of 1000 pieces with every optional scalar field set, in one assembly."""

    def __init__(self) -> None:
        from pieces.tests.factories import AssemblyFactory
        from tenants.tests.factories import issue_key

        self.assembly = AssemblyFactory.create()
        self.key = issue_key(self.assembly.company)
        self.salt, self.fresh = count(), count()

    def body(self, block: int, salt: int) -> bytes:
        """Block `block` of pieces, with values that `salt` decides."""
        import orjson

        from pieces.models import Piece
        from sync.tests.batches import full_piece, scalar_fields

        texts = [name for name, field in scalar_fields(Piece).items() if field.get_internal_type() == "CharField"]
        changed = {name: f"{name[:9]} of {salt:07}" for name in texts}
        first = block * SIZE
        return orjson.dumps({"pieces": [full_piece(self.assembly, first + n, **changed) for n in range(SIZE)]})

    def changed(self, block: int = 0) -> bytes:
        return self.body(block, next(self.salt))

    def changed_in(self, body: bytes, number: int) -> bytes:
        """The same body with so many of its pieces changed, evenly spread."""
        import orjson

        pieces, salt = orjson.loads(body)["pieces"], next(self.salt)
        for piece in pieces[:: SIZE // number]:
            piece["cell"] = f"cell of {salt}"
        return orjson.dumps({"pieces": pieces})

    def new(self) -> bytes:
        return self.body(1000 + next(self.fresh), 0)


Work = tuple[Callable[[bytes], object], Callable[[], bytes]]


def in_turn(works: Sequence[Work], rounds: int) -> list[float]:
    """The median milliseconds of each work on bodies that are made beforehand; one round to warm up."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for measured, (work, make) in zip(times, works, strict=True):
            body = make()
            started = time.perf_counter()
            work(body)
            if number:
                measured.append((time.perf_counter() - started) * 1000)
    return [median(measured) for measured in times]


Line = tuple[str, str, str]  # what, measured, target


def on_postgresql(rounds: int, sizes: Sequence[int]) -> Iterator[Line]:
    import orjson
    from django.db import connection

    from bench.baselines import PostgresFloor, django_upsert, usual_stack
    from bench.server import gunicorn
    from tenants.scope import every_company

    bodies = Bodies()
    connection.ensure_connection()
    floor = PostgresFloor(connection.connection.info.dsn)
    with gunicorn(workers=1) as server, every_company():

        def ours(body: bytes) -> object:
            return server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

        for block in range(3):
            ours(bodies.changed(block))
        new, floor_new = in_turn([(ours, bodies.new), (floor, bodies.new)], rounds)
        yield line_of("1000 new", new, "floor", floor_new, 2.0)
        last = bodies.changed(2)
        ours(last)
        backwards = orjson.dumps({"pieces": [dict(reversed(piece.items())) for piece in orjson.loads(last)["pieces"]]})
        works: list[Work] = [
            (ours, bodies.changed),
            (floor, lambda: bodies.changed(1)),
            (ours, lambda: last),
            (ours, lambda: backwards),
        ]
        changed, floor_changed, unchanged, otherwise = in_turn(works, rounds)
        yield line_of("1000 changed", changed, "floor", floor_changed, 2.0)
        yield line_of("1000 unchanged", unchanged, "floor for a change", floor_changed, 0.7)
        yield line_of("the same in other bytes: keys backwards", otherwise, "floor for a change", floor_changed)
        some, floor_again = in_turn(
            [(ours, lambda: bodies.changed_in(last, 10)), (floor, lambda: bodies.changed(1))], max(5, rounds // 2)
        )
        yield line_of("990 unchanged, 10 changed", some, "floor for 1000 changes", floor_again)
        ours(last)
        wal = median(_wal(lambda: ours(last)) for _ in range(5))
        yield "WAL of 1000 unchanged", f"{wal / 1024:.1f} KB", "< 10 KB"
        upsert, ours_again = in_turn([(django_upsert, lambda: bodies.changed(1)), (ours, bodies.changed)], 5)
        yield "1000 changed, Django's bulk_create(update_conflicts)", f"{upsert:.0f} ms: {upsert / ours_again:.1f}x", ""
        started = time.perf_counter()
        usual_stack(bodies.changed())
        usual = (time.perf_counter() - started) * 1000
        yield "1000 changed, the usual stack", f"{usual:.0f} ms: {usual / changed:.0f}x ours", ">= 100x"
    yield from _many_clients(bodies, rounds)
    yield from _memory(bodies)
    if sizes:
        yield from _large_tables(bodies, rounds, sizes)


def line_of(what: str, ours: float, name: str, theirs: float, target: float | None = None) -> Line:
    return what, f"{ours:.1f} ms, {name} {theirs:.1f} ms: {ours / theirs:.2f}x", f"<= {target}x" if target else ""


def _wal(work: Callable[[], object]) -> int:
    """The bytes of write-ahead log that the work costs."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        before = cursor.fetchone()
        work()
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", before)
        row: Any = cursor.fetchone()
    return int(row[0])


def _large_tables(bodies: Bodies, rounds: int, sizes: Sequence[int]) -> Iterator[Line]:
    """The same change with ever more rows of the same company in the table; full ones, as its own are.

    The server gets memory as one of this size would have it; out of the box it keeps 128 MB.
    """
    from django.db import connection

    from bench.faults.database import Database
    from bench.server import gunicorn
    from pieces.models import Piece
    from pieces.tests.copies import copies
    from tenants.scope import every_company

    def post(body: bytes) -> object:
        return server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

    connection.close()
    database = Database(os.environ["DATABASE_URL"])
    for setting in ("shared_buffers = '4GB'", "max_wal_size = '16GB'", "checkpoint_timeout = '30min'"):
        database.rows(f"ALTER SYSTEM SET {setting}")
    database.restart()
    with gunicorn(workers=1) as server, every_company():
        small, there = 0.0, Piece.all_objects.count()
        for size in (10_000, *sizes):
            if size > there:
                row = Piece.objects.exclude(barcode=None).first()
                copies(row, size - there, piece_id=f"'filler-{size}-' || n", barcode="'filler-' || n")
                there = size
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE pieces_piece")
            [changed] = in_turn([(post, bodies.changed)], rounds)
            small = small or changed
            target = "" if changed is small else "<= 1.3x"
            yield f"1000 changed, {there:,} rows in the table", f"{changed:.1f} ms: {changed / small:.2f}x", target
    connection.close()
    database.stop()  # restarted, it is not known to who started it


def _many_clients(bodies: Bodies, rounds: int) -> Iterator[Line]:
    """Four clients at once with pieces of their own, beside one, on two workers."""
    from bench.server import gunicorn

    with gunicorn(workers=2) as server:

        def client(block: int, batches: Sequence[bytes]) -> None:
            for body in batches:
                server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

        def rate(clients: int) -> float:
            work = [[bodies.changed(10 + block) for _ in range(4)] for block in range(clients)]
            threads = [threading.Thread(target=client, args=pair) for pair in enumerate(work)]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return clients * 4 / (time.perf_counter() - started)

        rate(4)
        pairs = [(rate(4), rate(1)) for _ in range(max(3, rounds // 4))]
    four, one = median(four for four, _ in pairs), median(one for _, one in pairs)
    yield "4 clients, 2 workers", f"{four:.1f} batches/s, one client {one:.1f}: {four / one:.2f}x", ">= 1.6x"


def _memory(bodies: Bodies) -> Iterator[Line]:
    from bench.server import gunicorn

    with gunicorn(workers=1) as server:
        sizes = []
        for number in range(200):
            server.call("POST", "/api/v1/sync/pieces", bodies.key, bodies.changed(number % 3))
            if number in (49, 199):
                sizes.append(max(server.memory()))
    yield "a worker's memory after 50 and 200 batches", f"{sizes[0]:.0f} and {sizes[1]:.0f} MiB", "<= 160 MiB"


def on_sqlite(rounds: int, path: str) -> Iterator[Line]:
    from bench.baselines import SqliteFloor
    from bench.server import gunicorn

    bodies = Bodies()
    floor = SqliteFloor(path)
    with gunicorn(workers=1) as server:

        def ours(body: bytes) -> object:
            return server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

        for block in range(2):
            ours(bodies.changed(block))
        changed, bare = in_turn([(ours, bodies.changed), (floor, lambda: bodies.changed(1))], rounds)
    yield line_of("1000 changed on SQLite", changed, "decode + executemany", bare, 3.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="sizes of the table to go on with")
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL", "")
    return on_both_databases(
        "bench.sync",
        lambda: (
            on_sqlite(options.rounds, url.removeprefix("sqlite:///"))
            if url.startswith("sqlite")
            else on_postgresql(options.rounds, options.rows)
        ),
    )


def rounds_on_both_databases(module: str, about: str | None, lines: Callable[[int], Iterator[Line]]) -> int:
    """The same for a module whose one argument is how many rounds it takes."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    return on_both_databases(module, lambda: lines(rounds))


def on_both_databases(module: str, lines: Callable[[], Iterator[Line]]) -> int:
    """Prints them, on the database of DATABASE_URL; if there is none, on a SQLite and on a PostgreSQL of their own."""
    if not os.environ.get("DATABASE_URL"):
        again = [sys.executable, "-m", module, *sys.argv[1:]]
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3"}
            sqlite = subprocess.run(again, env=environment, check=False).returncode
        beside_postgresql = [sys.executable, "-m", "ractory.tests.postgresql", *again]
        return sqlite or subprocess.run(beside_postgresql, check=False).returncode
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for what, measured, target in lines():
        print(f"| {what:54} | {measured:50} | {target:9} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
