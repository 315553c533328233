"""How many bytes a piece takes on disk, in each index, in its history and in the log, for docs/operations.md.

`python -m bench.sizes` fills a PostgreSQL of its own with 200 000 pieces that have a value in each of their fields but
the picture, and then syncs batches of 1000. `--rows` says otherwise.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenants.models import Company

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)
os.environ["LOG_LEVEL"] = "WARNING"

BATCHES, WARM_UP = 20, 3  # synced for the log; the first reads of a page that was written log its hint bits
# Rows as a factory has them: 40 pieces to a trolley, 12 cells in it, 60 profiles, 1000 pieces to a project, 20 to a
# component, 4 to an assembly; barcodes are unique. In the order of time, as syncs bring them.
EXPRESSIONS = {
    "project_guid": "md5('project' || n / 1000)::uuid",
    "component_guid": "md5('component' || n / 20)::uuid",
    "assembly_guid": "md5('assembly' || n / 4)::uuid",
    "barcode": "'BARCODE' || lpad(n::text, 10, '0')",
    "trolley": "'T-' || n / 40",
    "trolley_cell": "'T-' || n / 40 || '-' || n %% 12",
    "profile_code": "'PROFILE-' || n %% 60",
    "digest": "decode(md5(n::text), 'hex')",
}
INDEXES = """
    SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index
    WHERE indrelid = 'pieces_piece'::regclass ORDER BY 2 DESC
"""


def fill(rows: int, guid: str, **expressions: str) -> "Company":
    """Copies of one full piece, and their company; their parents are not there, and the keys that ask for them go."""
    from django.db import connection

    from pieces.models import Piece
    from pieces.tests.copies import copies
    from pieces.tests.factories import AssemblyFactory
    from sync.tests.batches import full_piece
    from tenants.scope import every_company

    assembly = AssemblyFactory.create()
    with every_company(), connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'pieces_piece'::regclass AND contype = 'f'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE pieces_piece DROP CONSTRAINT "{name}"')
        original = Piece(**{**full_piece(assembly), "created_in": assembly.guid, "changed_in": assembly.guid})
        original.save()
        copies(original, rows, **{**EXPRESSIONS, "guid": guid, **expressions})
        cursor.execute("VACUUM ANALYZE pieces_piece")
    company: Company = assembly.company
    return company


def report_sizes(rows: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('pieces_piece'), pg_total_relation_size('pieces_piece')")
        heap, total = cursor.fetchone()
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
    print(f"{rows} full pieces, bytes per piece")
    print(f"{'the row':45}{heap / rows:8.1f}")
    for name, size in indexes:
        print(f"{name:45}{size / rows:8.1f}")
    print(f"{'all indexes':45}{sum(size for _, size in indexes) / rows:8.1f}")
    print(f"{'row, indexes, maps':45}{total / rows:8.1f}")


def report_history() -> None:
    """Bytes of a state that a row had, as the batches of `report_log` have left them."""
    from django.db import connection

    from tenants.scope import every_company

    with every_company(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), pg_relation_size('pieces_piecehistory'), pg_indexes_size('pieces_piecehistory'), "
            "pg_total_relation_size('pieces_piecehistory') FROM pieces_piecehistory"
        )
        states, heap, indexes, total = cursor.fetchone()
    print(f"{states} states of pieces in the history, bytes of each")
    for what, size in (("the state", heap), ("its indexes", indexes), ("all of it", total)):
        print(f"{what:45}{size / states:8.1f}")


def report_log() -> None:
    """Bytes of the log per piece of a batch of 1000, receipt and commit included."""
    from django.db import connection
    from django.test import Client

    from bench.sync import SIZE, Bodies

    bodies, client = Bodies(), Client()

    def written(make: Callable[[], bytes]) -> float:
        def position() -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
                return int(cursor.fetchone()[0])

        def post() -> None:
            answer = client.post(
                "/api/v1/sync/pieces", make(), content_type="application/json", headers={"X-API-Key": bodies.key}
            )
            assert answer.status_code == 200, answer.content[:2000]

        for _ in range(WARM_UP):
            post()
        before = position()
        for _ in range(BATCHES):
            post()
        return (position() - before) / BATCHES / SIZE

    same = bodies.body(0, 0)
    print("bytes of the log per piece, in batches of 1000")
    for what, make in (("new", bodies.new), ("changed", bodies.changed), ("unchanged", lambda: same)):
        print(f"{what:45}{written(make):8.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--random-guids", action="store_true", help="as a client may choose them, not in order of time")
    options = parser.parse_args()

    from bench.faults.database import running_database

    with running_database() as database:
        database.rows("ALTER SYSTEM SET max_wal_size = '8GB'")  # no checkpoint in between, and so few full pages
        database.rows("SELECT pg_reload_conf()")
        os.environ["DATABASE_URL"] = database.url
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        report_log()
        report_history()
        fill(options.rows, "gen_random_uuid()" if options.random_guids else "uuidv7()")
        report_sizes(options.rows)
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
