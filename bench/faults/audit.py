"""What is in the database, held against what the writers were told; when nothing is under way."""

import json
import subprocess
from collections.abc import Iterable, Mapping

from bench.faults.database import Database
from bench.faults.figures import Figures
from bench.faults.server import manage
from bench.faults.workload import TABLES, TAGS, Batch

RECEIPTS = "SELECT idempotency_key, count(*) FROM sync_syncrun WHERE status = 'succeeded' GROUP BY 1"
ANSWERS = "SELECT key, count(*) FROM sync_idempotentanswer GROUP BY 1"


def audit(batches: Iterable[Batch], *, database: Database, figures: Figures) -> None:
    """Complains about each batch that is lost, doubled, torn, or written though refused, and of rows from nowhere."""
    expected: dict[str, dict[str, int]] = {entity: {} for entity in TABLES}
    settled: dict[str, int] = {}
    for batch in batches:
        if not batch.refused:
            settled[batch.key] = 1
            if TAGS[batch.entity] in batch.items[0]:
                expected[batch.entity][batch.key] = batch.whole
    for entity, table in TABLES.items():
        tag = TAGS[entity]
        found = dict(database.rows(f"SELECT {tag}, count(*) FROM {table} WHERE {tag} LIKE 'r%%' GROUP BY 1"))
        _compare(expected[entity], found, f"rows of {entity}", figures)
    for what, query in (("receipts", RECEIPTS), ("kept answers", ANSWERS)):
        found = {key: count for key, count in database.rows(query) if key and key.startswith("r")}
        _compare(settled, found, what, figures)
    figures.count("audits")
    figures.counts["batches audited"] = len(settled)


def _compare(expected: Mapping[str, int], found: Mapping[str, int], what: str, figures: Figures) -> None:
    for key in expected.keys() | found.keys():
        want, have = expected.get(key, 0), found.get(key, 0)
        if want != have:
            promise = "lost" if not have else "doubled" if want and have > want else "torn" if want else "from nowhere"
            figures.complain(promise, f"{what} of {key}: {have} instead of {want}")


def check_integrity(environment: Mapping[str, str], figures: Figures) -> None:
    """Runs `manage.py check_integrity`, which must be clean."""
    figures.count("integrity checks")
    try:
        manage(environment, "check_integrity", "--json")
    except subprocess.CalledProcessError as error:
        try:
            broken = {name: count for name, count in json.loads(error.stdout).items() if count}
        except ValueError:
            broken = {"it failed": error.stderr[-500:]}
        figures.complain("check_integrity", str(broken))
