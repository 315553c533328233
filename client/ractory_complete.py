"""Complete sets for ractory_client.py: what a delivery does not name is to go. Copy it beside that file.

    RACTORY_KEY=rfk_… python ractory_client.py URL pieces pieces.ndjson --journal pieces.journal --complete project=GUID

From Python: `open_snapshot`, then `push(…, snapshot=…)` of everything, and if nothing was refused `complete`.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.ractory_client import Answer, Client, Journal

PATH = "/api/v1/sync/snapshots"
TABLE = "CREATE TABLE IF NOT EXISTS snapshot (guid TEXT NOT NULL, about TEXT NOT NULL)"
LAST = "SELECT coalesce(max(number), -1) FROM batch WHERE key != ?"


def scope(text: str) -> dict[str, str]:
    """What a set is of, as it goes over the wire: "project=GUID", "component=GUID", "assembly=GUID", or "company"."""
    level, _, guid = text.partition("=")
    if text == "company":
        return {}
    if level not in ("project", "component", "assembly") or not guid:
        raise ValueError("--complete is project=GUID, component=GUID, assembly=GUID or company")
    return {f"{level}_guid": guid}


def open_snapshot(client: "Client", journal: "Journal", entity: str, within: Mapping[str, str]) -> str:
    """The guid of the snapshot that the journal's delivery belongs to; a new one for a delivery that begins. Raises
    ValueError for a journal that has sent something outside of a snapshot, or in one of something else: it would go."""
    journal.database.execute(TABLE)
    about = json.dumps({"entity": entity, **within})
    known = journal.database.execute("SELECT guid, about FROM snapshot").fetchone()
    if known is None and not journal.database.execute("SELECT 1 FROM batch").fetchone():
        said = about.encode()
        made, _ = client.insist(lambda: client.attempt("POST", PATH, said, Content_Type="application/json"), 201)
        known = {"guid": json.loads(made.body)["guid"], "about": about}
        journal.database.execute("INSERT INTO snapshot VALUES (?, ?)", (known["guid"], about))
    if known is None or known["about"] != about:
        raise ValueError("the journal is of another delivery: a new set needs a new journal")
    guid: str = known["guid"]
    return guid


def complete(
    client: "Client", journal: "Journal", snapshot: str, *, max_deleted: str = "", dry_run: bool = False
) -> "Answer":
    """200: what has gone, or with `dry_run` would go; 409: that is more than `max_deleted` (a number, or "10%"), and
    nothing has. The journal notes the run, which an undo takes back first."""
    path, body = f"{PATH}/{snapshot}/complete" + "?dry_run=true" * dry_run, dict[str, int | str]()
    if max_deleted:
        body["max_deleted"] = int(max_deleted) if max_deleted.isdecimal() else max_deleted
    said = json.dumps(body).encode()
    answer, _ = client.insist(lambda: client.attempt("POST", path, said, Content_Type="application/json"), 200, 409)
    if answer.status == 200 and not dry_run:
        (last,) = journal.database.execute(LAST, [snapshot]).fetchone()
        journal.note(last + 1, snapshot, "acknowledged", run=json.loads(answer.body)["run_guid"])
    return answer


def delivered(
    client: "Client", journal: "Journal", options: Namespace, push: Callable[..., Any], report: Callable[..., bool]
) -> int:
    """What --complete does: pushes into the snapshot, and completes it if nothing was refused; the exit code."""
    snapshot = open_snapshot(client, journal, options.entity, scope(options.complete))
    if not report(push(snapshot=snapshot), sys.stdout):
        sys.stdout.write("Not completed, as it is not all there: nothing was deleted.\n")
        return 1
    answer = complete(client, journal, snapshot, max_deleted=options.max_deleted, dry_run=bool(options.undo))
    sys.stdout.write(f"complete: {answer.status} {answer.body.decode()}\n")
    return 0 if answer.status == 200 else 1
