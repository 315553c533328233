"""What reading, deleting and restoring cost beside what PostgreSQL alone needs for the same rows.

`python -m bench.reading` measures on a PostgreSQL of its own, with fsync (see ractory.tests.postgresql):

- `GET /api/v1/pieces?limit=1000`, short objects, through gunicorn, to PostgreSQL's own `json_agg` of the same rows;
- deleting and restoring a project with 100 000 full pieces, to one bare UPDATE of those rows;
- in a company of a million pieces what looks at all of them (a search that finds nothing, a deep offset, a count) to a
  plain list; and another company's list while six connections of one key search all the time, to the same without.

Both sides of a ratio are measured in turn, in one run; the figures are medians.
"""

import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.server import Server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

ROUNDS, WARM_UP = 100, 10
DELETIONS = 3
PIECES = 100_000
SEARCHED, SEARCHERS, LOOKS = 1_000_000, 6, 5
TARGET_LIST, TARGET_DELETION, TARGET_BYSTANDER = 2.5, 2.0, 3.0


def main() -> int:
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        beside_postgresql = [sys.executable, "-m", "ractory.tests.postgresql"]
        os.execv(sys.executable, [*beside_postgresql, sys.executable, "-m", "bench.reading"])
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    project, key = fill()
    ratios = [_lists(project, key) <= TARGET_LIST, *(ratio <= TARGET_DELETION for ratio in _deletions(project))]
    ratios.append(_searches(project, key) <= TARGET_BYSTANDER)
    return 0 if all(ratios) else 1


def fill() -> tuple[uuid.UUID, str]:
    """A project with `PIECES` pieces, all 60 columns filled, in 100 assemblies; and a key to it."""
    from django.db import connection

    from pieces.models import Assembly, Piece
    from pieces.tests.copies import copies
    from pieces.tests.factories import PieceFactory
    from tenants.scope import every_company
    from tenants.tests.factories import CompanyFactory, issue_key

    texts = {field.attname: field.attname for field in Piece._meta.fields if field.get_internal_type() == "CharField"}
    numbers = {field.attname: 1200 for field in Piece._meta.fields if field.get_internal_type() == "IntegerField"}
    company = CompanyFactory.create()
    piece = PieceFactory.create(company=company, **texts, **numbers)
    copies(piece.component, 99)
    copies(piece.assembly, 99)
    with every_company():
        assemblies = list(Assembly.objects.filter(company=company).values_list("guid", flat=True))
    one_of_them = f"('{{{','.join(map(str, assemblies))}}}'::uuid[])[1 + n %% {len(assemblies)}]"
    copies(piece, PIECES - 1, barcode="'B' || n", assembly_guid=one_of_them)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return piece.project_guid, issue_key(company)


# --- Lists ------------------------------------------------------------------------------------


def _lists(project: uuid.UUID, key: str) -> float:
    import psycopg
    from django.db import connection

    from bench.server import gunicorn
    from pieces.reading import SHORT_PIECE

    aggregate = f"""
        SELECT json_agg(page)::text FROM (
            SELECT {", ".join(SHORT_PIECE)} FROM pieces_piece
            WHERE project_guid = %s AND is_active ORDER BY guid LIMIT 1000
        ) AS page"""
    connection.ensure_connection()
    direct = psycopg.connect(connection.connection.info.dsn, autocommit=True, options="-c ractory.company=*")
    with gunicorn() as server, closing(direct) as database:

        def ours() -> bytes:
            return server.call("GET", f"/api/v1/pieces?project_guid={project}&limit=1000", key)

        def theirs() -> str:
            row = database.execute(aggregate, [project]).fetchone()
            return str(row[0]) if row else ""

        same = [piece["guid"] for piece in json.loads(ours())] == [piece["guid"] for piece in json.loads(theirs())]
        assert same, "the two sides read different rows"
        listed, aggregated = _in_turn(ours, theirs, rounds=ROUNDS, warm_up=WARM_UP)
    ratio = listed / aggregated
    print(
        f"list of 1000 short pieces: {listed * 1000:.1f} ms through gunicorn, {aggregated * 1000:.1f} ms by json_agg: "
        f"{ratio:.2f}x (target {TARGET_LIST}x)"
    )
    return ratio


def _in_turn(
    one: Callable[[], object], other: Callable[[], object], *, rounds: int, warm_up: int
) -> tuple[float, float]:
    """The median seconds of each, measured in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + warm_up):
        for measured, work in zip(times, (one, other), strict=True):
            started = time.perf_counter()
            work()
            if number >= warm_up:
                measured.append(time.perf_counter() - started)
    return median(times[0]), median(times[1])


# --- Deletions --------------------------------------------------------------------------------


def _deletions(project: uuid.UUID) -> list[float]:
    """The ratios of deleting and of restoring, each to a bare UPDATE that sets the same columns of the same pieces."""
    from django.utils import timezone

    from pieces.acts import Origin
    from pieces.changes import delete_one, restore_one
    from pieces.models import Deletion, Operation, Project
    from tenants.scope import every_company

    origin = Origin(Operation.DELETE, "bench")
    times: dict[str, list[float]] = {"delete": [], "bare delete": [], "restore": [], "bare restore": []}
    statements: dict[str, int] = {}

    def measure(name: str, work: Callable[[], object]) -> None:
        vacuum()
        started = time.perf_counter()
        statements[name] = _statements(work)
        times[name].append(time.perf_counter() - started)

    def bare_delete(deletion: uuid.UUID) -> None:
        bare_update(project, False, timezone.now(), deletion)

    with every_company():
        for _ in range(DELETIONS):
            measure("delete", lambda: delete_one(Project, project, origin=origin, now=timezone.now()))
            measure("restore", lambda: restore_one(Project, project, origin=origin, now=timezone.now()))
            latest = Deletion.objects.latest("created_at").guid
            measure("bare delete", partial(bare_delete, latest))
            measure("bare restore", lambda: bare_update(project, True, None, None))
    ratios = []
    for name in ("delete", "restore"):
        ours, bare = median(times[name]), median(times[f"bare {name}"])
        ratios.append(ours / bare)
        print(
            f"{name} a project with {PIECES} pieces: {ours:.2f} s in {statements[name]} statements, "
            f"one bare UPDATE {bare:.2f} s: {ours / bare:.2f}x (target {TARGET_DELETION}x)"
        )
    return ratios


def bare_update(project: uuid.UUID, is_active: bool, deleted_at: datetime | None, deletion: uuid.UUID | None) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pieces_piece SET is_active = %s, deleted_at = %s, updated_at = now(), deletion_guid = %s "
            "WHERE project_guid = %s",
            [is_active, deleted_at, deletion, project],
        )


def _statements(work: Callable[[], object]) -> int:
    from django.db import connection

    seen: list[str] = []

    def watch(execute: Callable[..., object], sql: str, *rest: object) -> object:
        seen.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(watch):
        work()
    return len(seen)


def vacuum() -> None:
    """Every measurement starts from the same: no dead rows, nothing left to write."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE pieces_piece")


# --- Searches ---------------------------------------------------------------------------------


def _searches(project: uuid.UUID, bystander: str) -> float:
    """Prints what looks at all rows beside a plain list, and returns the ratio of the bystander's lists."""
    from bench.server import gunicorn
    from bench.sizes import fill
    from tenants.tests.factories import issue_key

    key = issue_key(fill(SEARCHED, "uuidv7()"))
    dear = {
        "a search that finds nothing": "search=no-such-text",
        "an offset of 900000": "offset=900000",
        "a count": "count=true&limit=1",
    }
    with gunicorn(workers=4) as server:  # as on two cores

        def get(query: str, whose: str = key) -> Callable[[], object]:
            return lambda: server.call("GET", f"/api/v1/pieces?{query}", whose)

        for what, query in dear.items():
            taken, plain = _in_turn(get(query), get(""), rounds=LOOKS, warm_up=1)
            print(
                f"{what}, {SEARCHED} pieces: {taken * 1000:.0f} ms, a plain list {plain * 1000:.1f} ms: "
                f"{taken / plain:.0f}x"
            )
        theirs = get(f"project_guid={project}&limit=1000", bystander)
        alone, _ = _in_turn(theirs, lambda: None, rounds=ROUNDS, warm_up=WARM_UP)
        with _searching(server, key) as refusals:
            beside, _ = _in_turn(theirs, lambda: None, rounds=ROUNDS, warm_up=WARM_UP)
    print(
        f"list of 1000 short pieces while {SEARCHERS} connections of another key search: {beside * 1000:.1f} ms, "
        f"without them {alone * 1000:.1f} ms: {beside / alone:.2f}x (target {TARGET_BYSTANDER}x); "
        f"{len(refusals)} of the searches were refused"
    )
    return beside / alone


@contextmanager
def _searching(server: "Server", key: str) -> Iterator[list[str]]:
    """Connections that search all the time, each for something else; one that is refused tries again after a second."""
    refusals: list[str] = []
    over = threading.Event()

    def search(number: int) -> None:
        while not over.is_set():
            try:
                server.call("GET", f"/api/v1/pieces?search=no-such-text-{number}", key)
            except AssertionError as refusal:
                refusals.append(str(refusal))
                over.wait(1)

    threads = [threading.Thread(target=search, args=[number]) for number in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    try:
        yield refusals
    finally:
        over.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
