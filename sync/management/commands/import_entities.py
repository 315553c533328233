import os
import sys
import uuid
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from rest_framework.exceptions import APIException
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.models import LEVELS_BY_PLURAL, Operation
from ractory import garbage_collection
from ractory.api.errors import ConflictRetry
from ractory.signals import exit_code
from sync.files.importing import COUNTS, Importer, batches_of
from sync.files.reading import STDIN, BadFile, FileRow, Source, detect, json_rows, ndjson_rows, opened
from sync.files.tables import csv_rows
from sync.management.running import held, meter, say
from sync.models import MAX_SOURCE, FileImport, Overtaken, Snapshot
from sync.schemas import max_items
from sync.snapshots import PERCENT, SCOPE, complete, open_one, open_snapshot
from tenants.management.printing import PrintingCommand, company_of, guid, text
from tenants.scope import company_scope

SOME_FAULTY, UNREADABLE, NO_DATABASE = 1, 2, 3  # exit codes
AWAY = (OperationalError, InterfaceError)  # what the database is


def pair(argument: str) -> tuple[str, str]:
    column, equals, name = argument.rpartition("=")
    if not (equals and column):
        raise ArgumentTypeError(f"not COLUMN=FIELD: {argument!r}")
    return column, name


def ceiling(argument: str) -> str:
    if not (argument.isdecimal() and len(argument) < 10) and not PERCENT.fullmatch(argument):
        raise ArgumentTypeError(f"not a number of rows or a share, as 10%: {argument!r}")
    return argument


def scope(argument: str) -> dict[str, uuid.UUID]:
    """What a file is the complete set of: the relation by its column, none for the whole company."""
    level, _, name = argument.partition("=")
    if argument != "company" and f"{level}_guid" not in SCOPE:
        raise ArgumentTypeError(f"not project=GUID, component=GUID, assembly=GUID or company: {argument!r}")
    return {} if argument == "company" else {f"{level}_guid": guid(name)}


class Command(PrintingCommand):
    help = (
        "Imports a file of one entity into a company, batch by batch, as a sync would; rows with faults are left out. "
        "Exits with 0 if every row is in, 1 if some are faulty, 2 for bad arguments or a file that can't be read on, "
        "3 if the database stopped it, 130 after Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=text, metavar="FILE", help="plain or gzip; - is standard input")
        parser.add_argument("--company", type=guid, metavar="GUID", required=True)
        parser.add_argument("--entity", choices=LEVELS_BY_PLURAL, default="pieces")
        parser.add_argument("--format", choices=("auto", "ndjson", "json", "csv"), default="auto")
        parser.add_argument(
            "--map", type=pair, action="append", default=[], metavar="COLUMN=FIELD", help="of a CSV; no FIELD: left out"
        )
        parser.add_argument("--raw", action="store_true", help="of a CSV: its formulas are not escaped")
        parser.add_argument("--errors", type=text, metavar="FILE", help="where faulty rows go, as NDJSON")
        parser.add_argument("--keep-active", action="store_true", help="delete nothing: take every row as active")
        parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
        parser.add_argument(
            "--complete", type=scope, metavar="SET", help="delete what the file has not of project=GUID … or company"
        )
        parser.add_argument("--max-deleted", type=ceiling, help="of --complete: a number, or a share (10%%)")
        parser.add_argument("--yes", action="store_true", help="do not ask before --complete deletes")
        parser.add_argument("--resume", action="store_true", help="go on where the import of this file stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        garbage_collection.tune()
        with ExitStack() as stack:
            try:
                stack.enter_context(company_scope(company_of(options["company"]).guid))
                source = stack.enter_context(opened(options["file"]))
                rows, progress = _rows(source, options), _progress(options)
                errors = stack.enter_context(_errors_file(options, progress)) if options["errors"] else None
                chosen = {name: options[name] for name in ("keep_active", "dry_run")}
                chosen |= {"errors": errors, "snapshot": _snapshot(progress, options)}
                importer = Importer(LEVELS_BY_PLURAL[options["entity"]], progress, show=say, **chosen)
                if options["resume"]:
                    importer.skip(rows)
            except (BadFile, CommandError) as error:
                raise CommandError(f"{options['file']}: {error}", returncode=UNREADABLE) from error
            code, trouble = _run(importer, source, rows)
            if importer.snapshot and not code:
                code, trouble = _complete(importer.snapshot.guid, progress, options)
        if progress.rows or not trouble:
            result = {"rows": progress.rows, **{name: getattr(progress, name) for name in COUNTS}}
            ignored = sorted(importer.ignored)
            result["ignored_fields"] = ignored if options["json"] else ", ".join(ignored) or None
            result["dry_run"] = options["dry_run"]
            self.answer(options, result, *(["Nothing was written: --dry-run."] if options["dry_run"] else []))
        if trouble:
            if progress.rows and not options["dry_run"]:
                trouble += f"; {progress.rows} rows are done, --resume goes on after them"
            raise CommandError(f"{options['file']}: {trouble}", returncode=code)
        if code:
            sys.exit(code)


def _run(importer: Importer, source: Source, rows: Iterator[FileRow]) -> tuple[int, str]:
    """The exit code, and what has kept it from coming to the end."""
    progress = importer.progress
    try:
        with meter(source.size, progress.rows) as show:
            for batch in batches_of(rows, max_items(importer.model)):
                with held():
                    importer.add(batch)
                show(progress.rows, source.position)
    except BadFile as error:
        return UNREADABLE, str(error)
    except OSError as error:  # of the faulty rows' file
        return UNREADABLE, f"{progress.errors}: {error.strerror}"
    except (ConflictRetry, *AWAY) as error:
        return NO_DATABASE, f"the database: {str(error).splitlines()[0]}"
    except Overtaken:
        return NO_DATABASE, "another process is importing this file"
    except KeyboardInterrupt as stop:
        return exit_code(stop), "stopped"
    return (SOME_FAULTY if progress.faulty else 0), ""


def _complete(guid: uuid.UUID, progress: FileImport, options: dict[str, Any]) -> tuple[int, str]:
    """Says what the file does not have, asks, and deletes it; the exit code, and why nothing was deleted."""

    def completed(*, dry_run: bool) -> int | None:
        origin = Origin(Operation.COMPLETE, progress.actor, str(progress.guid), run=uuid7())
        return complete(guid, origin=origin, max_deleted=options["max_deleted"] or "", dry_run=dry_run).deleted

    try:
        going = completed(dry_run=True)
        question = f"{going} {progress.entity} that the file does not have are to be deleted"
        if going and not options["yes"]:
            if not sys.stdin.isatty() or options["file"] == STDIN:
                return SOME_FAULTY, f"{question}; nothing was: it needs --yes"
            say(f"{question}. Go on? [y/N]")
            if sys.stdin.readline().strip().lower() != "y":
                return SOME_FAULTY, "nothing was deleted"
        completed(dry_run=False)
    except APIException as refusal:
        return SOME_FAULTY, str(refusal.detail)
    say(f"{going} {progress.entity} that the file does not have were deleted")
    return 0, ""


def _rows(source: Source, options: dict[str, Any]) -> Iterator[FileRow]:
    model, mapping = LEVELS_BY_PLURAL[options["entity"]], dict(options["map"])
    chosen = detect(source, model) if options["format"] == "auto" else options["format"]
    for option in ("map", "raw"):
        if options[option] and chosen != "csv":
            raise BadFile(f"--{option} is for a CSV; this is {chosen}")
    if len(mapping) < len(options["map"]):
        raise BadFile("--map names a column twice")
    if chosen == "csv":
        return csv_rows(source, model, mapping, raw=options["raw"])
    return json_rows(source, model) if chosen == "json" else ndjson_rows(source)


def _progress(options: dict[str, Any]) -> FileImport:
    source = STDIN if options["file"] == STDIN else os.path.abspath(options["file"])
    if len(source) > MAX_SOURCE:
        raise BadFile(f"its path has more than {MAX_SOURCE} characters")
    values = {"company_guid": options["company"], "entity": options["entity"], "source": source}
    if options["dry_run"]:
        if options["resume"] or options["complete"] is not None:
            raise BadFile("--dry-run writes nothing that could be resumed, or completed")
        return FileImport(**values)
    known: QuerySet[FileImport] = FileImport.objects.filter(**values)
    if options["resume"]:
        if (progress := known.first()) is None:
            raise BadFile("there is no import of this file to resume; start it without --resume")
        return progress
    with transaction.atomic():
        known.delete()
        return known.create(**values, digest=b"")


def _snapshot(progress: FileImport, options: dict[str, Any]) -> Snapshot | None:
    """The complete set that the file is; a new one for a new import."""
    within, known = options["complete"], progress.snapshot_guid
    if options["resume"] and (within is None) != (known is None):
        raise BadFile("resume it with --complete as it was started, or without it")
    if within is None:
        return None
    try:
        if known:
            return open_one(known)
        about: dict[str, Any] = {"company": progress.company_guid, "max_deleted": options["max_deleted"] or ""}
        snapshot = open_snapshot(LEVELS_BY_PLURAL[progress.entity], within, actor=progress.actor, **about)
    except APIException as refusal:
        raise BadFile(str(refusal.detail)) from refusal
    progress.snapshot_guid = snapshot.guid
    progress.save(update_fields=["snapshot_guid"])
    return snapshot


def _errors_file(options: dict[str, Any], progress: FileImport) -> IO[bytes]:
    """A new file; or that of the import that is resumed, which goes on after what its last commit knows."""
    path = os.path.abspath(options["errors"])
    if os.path.exists(path) and progress.source != STDIN and os.path.samefile(path, progress.source):
        raise BadFile("--errors would overwrite it")
    goes_on = progress.rows > 0 and progress.errors == path and os.path.exists(path)
    if goes_on and os.path.getsize(path) < progress.errors_size:
        raise BadFile(f"{path} has been cut since its last rows were written to it")
    try:
        file = open(path, "r+b" if goes_on else "wb", buffering=0)  # noqa: SIM115  # closed by the caller
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error
    if goes_on:
        file.seek(progress.errors_size)
        file.truncate()
    progress.errors, progress.errors_size = path, file.tell() if goes_on else 0
    FileImport.objects.filter(guid=progress.guid).update(errors=path, errors_size=progress.errors_size)
    return file
