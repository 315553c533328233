"""What keeping the history costs, beside the same without: the triggers are taken away and made again between requests.

`python -m bench.history` measures on a PostgreSQL of its own, with fsync, and on SQLite; both sides of each ratio in
turn, in one run. Prints rows of a Markdown table.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator

from bench.sync import Bodies, Line, in_turn, line_of, rounds_on_both_databases

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)


def _with(kept: bool, make: Callable[[], bytes]) -> Callable[[], bytes]:
    """Makes a body, and the triggers or none of them."""

    def prepare() -> bytes:
        body = make()
        keep_history() if kept else keep_none()
        return body

    return prepare


def keep_history() -> None:
    from pieces import triggers

    triggers.install("default")


def keep_none() -> None:
    from django.db import connection

    from pieces.models import HISTORIES

    with connection.cursor() as cursor:
        for model in HISTORIES:
            table = f" ON {model._meta.db_table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {model.kind}_history{table}")


def lines(rounds: int) -> Iterator[Line]:
    from django.db import connection

    from bench.server import gunicorn

    bodies = Bodies()
    where = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    with gunicorn(workers=1) as server:

        def post(body: bytes) -> object:
            return server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

        def undo(run: bytes) -> object:
            return server.call("POST", f"/api/v1/sync/runs/{run.decode()}/undo", bodies.key)

        def changed_run() -> bytes:
            """The guid of a run that has just changed 1000 pieces."""
            post(bodies.changed(1))
            return str(json.loads(server.call("GET", "/api/v1/sync/runs?limit=1", bodies.key))[0]["guid"]).encode()

        for block in range(2):
            post(bodies.changed(block))
        with_history, without = in_turn(
            [(post, _with(True, bodies.changed)), (post, _with(False, lambda: bodies.changed(1)))], rounds
        )
        yield line_of(f"1000 changed on {where}, with history", with_history, "without", without, 1.15)
        with_history, without = in_turn([(post, _with(True, bodies.new)), (post, _with(False, bodies.new))], rounds)
        yield line_of(f"1000 new on {where}, with history", with_history, "without", without, 1.02)
        keep_history()
        undone, changed = in_turn([(undo, changed_run), (post, bodies.changed)], rounds)
        yield line_of(f"undo of 1000 changes on {where}", undone, "a sync of 1000 changes", changed, 2.0)
        yield from _page(bodies, server.call)
    if connection.vendor == "postgresql":
        yield from _cascade()


def _page(bodies: Bodies, call: Callable[..., bytes]) -> Iterator[Line]:
    """The newest entries of a piece that was changed 10 000 times, beside those of one that was changed ten times."""
    from django.db import transaction

    from pieces.models import Piece
    from pieces.tests.factories import PieceFactory
    from tenants.scope import every_company

    paths = []
    for changes in (10, 10_000):
        piece = PieceFactory.create(assembly=bodies.assembly, piece_id=f"changed {changes} times")
        with every_company(), transaction.atomic():
            for number in range(changes):
                Piece.all_objects.filter(guid=piece.guid).update(cell=f"{number}")
        paths.append(f"/api/v1/pieces/{piece.guid}/history?limit=20")
    few, many = in_turn([(lambda path: call("GET", path.decode(), bodies.key), path.encode) for path in paths], 30)
    yield line_of("20 entries of a piece changed 10 000 times", many, "changed 10 times", few, 1.5)


def _cascade() -> Iterator[Line]:
    """Deleting and restoring a project of 100 000 pieces, beside a bare UPDATE of them that keeps no history."""
    from django.utils import timezone

    from bench import reading
    from pieces.acts import Origin
    from pieces.changes import delete_one, restore_one
    from pieces.models import Operation, Project
    from tenants.scope import every_company

    project, _ = reading.fill()
    origin = Origin(Operation.DELETE, "bench")

    def bare(active: bytes) -> None:
        reading.bare_update(project, bool(active), None if active else timezone.now(), None)

    def without(active: bytes) -> Callable[[], bytes]:
        def prepare() -> bytes:
            keep_none()
            reading.vacuum()
            return active

        return prepare

    def with_history() -> bytes:
        keep_history()
        reading.vacuum()
        return b""

    with every_company():
        works = [
            (lambda _: delete_one(Project, project, origin=origin), with_history),
            (lambda _: restore_one(Project, project, origin=origin), with_history),
            (bare, without(b"active")),
        ]
        deleted, restored, updated = in_turn(works, 3)
    for what, taken in (("deleting", deleted), ("restoring", restored)):
        yield line_of(f"{what} a project of 100 000 pieces, with history", taken, "a bare UPDATE", updated, 2.0)


if __name__ == "__main__":
    sys.exit(rounds_on_both_databases("bench.history", __doc__, lines))
