import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from pieces.models import LEVELS_BY_PLURAL, Entity, Kind, Project
from pieces.querysets import EntityQuerySet, streamed
from ractory.api.rendering import to_json
from sync.files.tables import cell_of
from sync.management.running import written
from tenants.management.printing import PrintingCommand, company_of, guid, moment, text
from tenants.scope import company_scope

STDOUT = "-"


def export(rows: EntityQuerySet, write: Callable[[bytes], object], *, as_csv: bool, raw: bool) -> Iterator[None]:
    """Writes `rows`, as of one moment, in the order of their guids: as CSV, `raw` or with formulas escaped, or else as
    NDJSON; yields after each. What a sync can't set is left out, and so is the company: a file may be imported into
    another one, and the file of the same rows is the same, byte for byte."""
    model: type[Entity] = rows.model
    columns = [field.attname for field in model.settable_fields() if field.attname != "company_guid"]
    write_record = csv.writer(cast(Any, SimpleNamespace(write=lambda record: write(record.encode())))).writerow
    if as_csv:
        write_record(columns)
    for row in streamed(rows.order_by("guid").values_list(*columns)):
        if as_csv:
            write_record([cell_of(value, raw=raw) for value in row])
        else:
            write(to_json(dict(zip(columns, row, strict=True))) + b"\n")
        yield


class Command(PrintingCommand):
    help = "Writes the rows of one entity of a company to a file that import_entities takes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=text, nargs="?", default=STDOUT, metavar="FILE", help="gzip if it ends in .gz")
        parser.add_argument("--company", type=guid, metavar="GUID", required=True)
        parser.add_argument("--entity", choices=LEVELS_BY_PLURAL, default="pieces")
        parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
        raw = "of a CSV: formulas are not escaped; import it with --raw, and open it in no spreadsheet"
        parser.add_argument("--raw", action="store_true", help=raw)
        parser.add_argument("--include-inactive", action="store_true", help="soft-deleted rows too")
        parser.add_argument("--project", type=guid, metavar="GUID", help="only what belongs to this project")
        since = "ISO 8601, UTC unless it says otherwise"
        parser.add_argument("--updated-since", type=moment, metavar="TIME", help=since)
        parser.add_argument("--force", action="store_true", help="replace FILE if it is there")

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        if options["raw"] and options["format"] != "csv":
            raise CommandError("--raw is for --format csv")
        if path == STDOUT and options["json"]:
            raise CommandError("--json needs a FILE: standard output has the rows")
        if path != STDOUT and os.path.exists(path) and not options["force"]:
            raise CommandError(f"{path} is there already; --force replaces it")
        model = LEVELS_BY_PLURAL[options["entity"]]
        with company_scope(company_of(options["company"]).guid):
            rows: EntityQuerySet = model.all_objects.all() if options["include_inactive"] else model.objects.all()
            if options["project"]:
                if not Project.all_objects.filter(guid=options["project"]).exists():
                    raise CommandError(f"there is no project {options['project']} in this company")
                rows = rows.in_any_of(Kind.PROJECT, [options["project"]])
            if options["updated_since"]:
                rows = rows.filter(updated_at__gte=options["updated_since"])
            try:
                with nullcontext(sys.stdout.buffer) if path == STDOUT else written(path) as file:
                    steps = export(rows, file.write, as_csv=options["format"] == "csv", raw=options["raw"])
                    number = sum(1 for _ in tqdm(steps, unit=" rows", disable=None, leave=False))
                    file.flush()
            except BrokenPipeError:
                # Whoever read it has had enough. Python would complain once more when it closes standard output.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(1)
        if path != STDOUT:
            self.answer(options, {"rows": number, "file": path})
