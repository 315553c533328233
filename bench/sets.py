"""What complete sets cost: remembering what a batch named, and completing a set of 100 000 pieces.

`python -m bench.sets` measures on a PostgreSQL of its own, with fsync, and on SQLite; both sides of the ratio in turn,
in one run. Prints rows of a Markdown table.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from bench.sync import SIZE, Bodies, Line, in_turn, line_of, rounds_on_both_databases

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

SNAPSHOTS = "/api/v1/sync/snapshots"
SEEN, GONE = 100_000, 100


def lines(rounds: int) -> Iterator[Line]:
    from django.db import connection

    from bench.server import gunicorn
    from tenants.scope import every_company

    bodies = Bodies()
    where = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    with gunicorn(workers=1) as server, every_company():

        def opened() -> str:
            asked = {"entity": "pieces", "project_guid": str(bodies.assembly.project_guid)}
            return str(json.loads(server.call("POST", SNAPSHOTS, bodies.key, json.dumps(asked).encode(), 201))["guid"])

        def pushed(query: str) -> Any:
            return lambda body: server.call("POST", f"/api/v1/sync/pieces{query}", bodies.key, body)

        same, snapshot = bodies.changed(), opened()
        pushed("")(same)
        noted, plain = in_turn([(pushed(f"?snapshot={snapshot}"), lambda: same), (pushed(""), lambda: same)], rounds)
        yield line_of(f"1000 unchanged of a set on {where}", noted, "of none", plain, 1.1)

        fill(bodies)

        def complete(guid: bytes) -> object:
            return server.call("POST", f"{SNAPSHOTS}/{guid.decode()}/complete", bodies.key, b'{"max_deleted": 100}')

        def all_but_some_seen() -> bytes:
            restore()
            note_seen(guid := opened())
            return guid.encode()

        [taken] = in_turn([(complete, all_but_some_seen)], 5)
        [last] = json.loads(server.call("GET", "/api/v1/sync/runs?limit=1&operation=complete", bodies.key))
        assert (last["received"], last["deleted"]) == (SEEN, GONE), last
        yield f"completing {SEEN:,} seen, {GONE} gone on {where}", f"{taken:.0f} ms", "< 1000 ms"


def fill(bodies: Bodies) -> None:
    """As many full pieces in the project as the set is to have, and those that are to go."""
    from django.db import connection

    from pieces.models import Piece
    from pieces.tests.copies import copies

    copies(Piece.objects.first(), SEEN + GONE - Piece.objects.count())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def restore() -> None:
    """Brings back what the last round's completion took."""
    from pieces.acts import Origin
    from pieces.changes import restore_one
    from pieces.models import Operation, Piece

    if gone := Piece.all_objects.filter(is_active=False).first():
        restore_one(Piece, gone.guid, origin=Origin(Operation.RESTORE, "bench"))


def note_seen(guid: str) -> None:
    """What a hundred batches of the snapshot would have noted."""
    from pieces.models import Piece
    from sync import snapshots
    from sync.models import Snapshot

    snapshot = Snapshot.objects.get(guid=guid)
    guids = list(Piece.objects.order_by("guid").values_list("guid", flat=True)[:SEEN])
    for n in range(0, SEEN, SIZE):
        snapshots.note_seen(snapshot, guids[n : n + SIZE])


if __name__ == "__main__":
    sys.exit(rounds_on_both_databases("bench.sets", __doc__, lines))
