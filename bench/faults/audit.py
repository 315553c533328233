"""What is in the database, held against what the writers were told; when nothing is under way."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from bench.faults.database import Database
from bench.faults.figures import Figures
from bench.faults.server import manage
from bench.faults.workload import TABLES, TAGS, Batch

RECEIPTS = "SELECT idempotency_key, count(*) FROM sync_syncrun WHERE status = 'succeeded' GROUP BY 1"
ANSWERS = "SELECT key, count(*) FROM sync_idempotentanswer GROUP BY 1"
UNDOS = """
    SELECT act.undoes::text, count(receipt.guid) FROM pieces_act AS act LEFT JOIN sync_syncrun AS receipt
    ON receipt.guid = act.run_guid AND receipt.operation = 'undo' AND receipt.status = 'succeeded'
    WHERE act.undoes IS NOT NULL GROUP BY 1
"""


def audit(batches: Iterable[Batch], *, database: Database, figures: Figures) -> None:
    """Complains about each batch or undo that is lost, doubled, torn, or done though refused, and of rows from nowhere.

    Of rows that only one batch writes it counts the active ones, the deleted ones and the states that undos replaced;
    of rows that a writer writes again and again, those that are as its last batch says, or as the undo of that does.
    """
    written = [batch for batch in batches if not batch.refused]
    inserting = {entity: [batch for batch in written if batch.inserts and batch.entity == entity] for entity in TABLES}
    for entity, table in TABLES.items():
        tag, of_entity = TAGS[entity], inserting[entity]
        rows = f"SELECT {tag}, is_active, count(*) FROM {table} WHERE {tag} LIKE 'r%%' GROUP BY 1, 2"
        found = {(key, is_active): count for key, is_active, count in database.rows(rows)}
        _compare(
            {(batch.key, not batch.is_undone): batch.whole for batch in of_entity}, found, f"rows of {entity}", figures
        )
        past = dict(database.rows(f"SELECT {tag}, count(*) FROM {table}history WHERE {tag} LIKE 'r%%' GROUP BY 1"))
        replaced = {batch.key: batch.whole * (len(batch.runs) - 1) for batch in of_entity if len(batch.runs) > 1}
        _compare(replaced, past, f"past states of {entity}", figures)
    last = {batch.items[0]["guid"]: batch for batch in written if not (batch.inserts or batch.contested)}
    shown = {batch.key: database.rows(batch.probe, batch.shown)[0][0] for batch in last.values()}
    _compare({batch.key: batch.whole for batch in last.values()}, shown, "rows written again and again", figures)
    for what, query in (("receipts", RECEIPTS), ("kept answers", ANSWERS)):
        found = {key: count for key, count in database.rows(query) if key and key.startswith("r")}
        _compare({batch.key: 1 for batch in written}, found, what, figures)
    undone = {run: 1 for batch in written for run in batch.runs[:-1]}
    _compare(undone, dict(database.rows(UNDOS)), "undos", figures)
    figures.count("audits")
    figures.counts["batches audited"], figures.counts["undos audited"] = len(written), len(undone)


def _compare(expected: Mapping[Any, int], found: Mapping[Any, int], what: str, figures: Figures) -> None:
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
