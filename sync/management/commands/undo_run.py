import uuid
from collections import Counter
from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from rest_framework.exceptions import APIException
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.models import Act, Operation
from pieces.receipts import RunStatus, SyncRun
from ractory.api.errors import Conflict
from ractory.api.retry import rehearsal
from sync.undo import undo
from tenants.management.printing import PrintingCommand, guid

SHOWN = 10  # conflicts


class Command(PrintingCommand):
    help = "Puts back what a run wrote, or all runs of an imported file, the last one first; each undo is a run itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("guid", type=guid, metavar="GUID", help="of the run, from its receipt; or of the import")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--skip-conflicts", action="store_true", help="leave what others have written since")

    def handle(self, *args: Any, **options: Any) -> None:
        # Of an import the batches of the file, and its completion, the last one first.
        done = Q(status=RunStatus.SUCCEEDED, dry_run=False, operation__in=(Operation.IMPORT, Operation.COMPLETE))
        of_import = SyncRun.objects.filter(done, request_id=str(options["guid"])).order_by("-guid")
        whole = list(of_import.values_list("guid", flat=True)) or [options["guid"]]
        undone_before = set(Act.objects.filter(undoes__in=whole).values_list("undoes", flat=True))
        runs = [run for run in whole if run not in undone_before] or whole[:1]
        found = Counter[str]({"runs": 0, "changed": 0, "deleted": 0, "restored": 0, "skipped": 0})
        last: uuid.UUID | None = None
        # In a dry run too each undo is done, so that what later batches of a file wrote is no conflict.
        with rehearsal() if options["dry_run"] else nullcontext():
            for run in runs:
                origin = Origin(Operation.UNDO, "command:undo_run", "", run=uuid7())
                try:
                    undone = undo(run, origin=origin, skip=options["skip_conflicts"])
                except APIException as refusal:
                    raise CommandError(_said(refusal, run, found["runs"])) from refusal
                last = None if options["dry_run"] else origin.run
                found.update({"runs": 1, **undone._asdict()})
        remarks = ["Nothing was written: --dry-run."] * options["dry_run"]
        self.answer(options, {"run_guid": last, **found, "dry_run": options["dry_run"]}, *remarks)


def _said(refusal: APIException, run: uuid.UUID, done: int) -> str:
    lines = [f"run {run}: {refusal.detail}"]
    conflicts = refusal.more.get("conflicts", []) if isinstance(refusal, Conflict) else []
    lines += [f"  {each['entity']} {each['guid']}, written by run {each['run_guid']}" for each in conflicts[:SHOWN]]
    if len(conflicts) > SHOWN:
        lines.append("  …")
    if done:
        lines.append(f"{done} later runs of the file are undone; the others are as they were.")
    return "\n".join(lines)
