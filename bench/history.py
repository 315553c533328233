"""What keeping the history costs, beside the same without: the triggers are taken away and made again between requests.

`python -m bench.history` measures on a PostgreSQL of its own, with fsync, and on SQLite; both sides of each ratio in
turn, in one run. Prints rows of a Markdown table.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator

from bench.sync import Bodies, Line, in_turn, on_both_databases

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)


def _with(kept: bool, make: Callable[[], bytes]) -> Callable[[], bytes]:
    """Makes a body, and the table's trigger or none of it."""

    def prepare() -> bytes:
        from django.db import connection

        from pieces import triggers
        from pieces.models import HISTORIES

        body = make()
        if kept:
            triggers.install("default")
        else:
            with connection.cursor() as cursor:
                for model in HISTORIES:
                    table = f" ON {model._meta.db_table}" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TRIGGER IF EXISTS {model.kind}_history{table}")
        return body

    return prepare


def measured(rounds: int) -> Iterator[Line]:
    from django.db import connection

    from bench.server import gunicorn

    bodies = Bodies()
    where = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    with gunicorn(workers=1) as server:

        def ours(body: bytes) -> object:
            return server.call("POST", "/api/v1/sync/pieces", bodies.key, body)

        for block in range(2):
            ours(bodies.changed(block))
        works = [(ours, _with(True, bodies.changed)), (ours, _with(False, lambda: bodies.changed(1)))]
        kept, bare = in_turn(works, rounds)
        yield (
            f"1000 changed on {where}, with history",
            f"{kept:.1f} ms, without {bare:.1f} ms: {kept / bare:.2f}x",
            "<= 1.15x",
        )
        works = [(ours, _with(True, bodies.new)), (ours, _with(False, bodies.new))]
        kept, bare = in_turn(works, rounds)
        yield (
            f"1000 new on {where}, with history",
            f"{kept:.1f} ms, without {bare:.1f} ms: {kept / bare:.2f}x",
            "<= 1.02x",
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    return on_both_databases("bench.history", lambda: measured(options.rounds))


if __name__ == "__main__":
    sys.exit(main())
