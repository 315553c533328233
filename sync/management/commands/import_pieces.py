import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from pieces.models import Entity
from ractory.api.errors import ConflictRetry
from ractory.garbage import settle
from sync.files import ENTITIES
from sync.files.faults import FaultyRows
from sync.files.importing import COUNTS, Changed, Importer, Overtaken, batches_of
from sync.files.meter import meter, say
from sync.files.rows import Row, detect, json_rows, ndjson_rows
from sync.files.source import STDIN, BadFile, Source, opened
from sync.files.stopping import Stop
from sync.files.tables import csv_rows
from sync.models import MAX_SOURCE, FileImport
from tenants.management.printing import PrintingCommand, company_of, guid, text
from tenants.scope import company_scope

SOME_FAULTY, UNREADABLE, NO_DATABASE = 1, 2, 3  # exit codes
AWAY = (OperationalError, InterfaceError)  # what the database is


def pair(argument: str) -> tuple[str, str]:
    column, equals, name = argument.rpartition("=")
    if not (equals and column):
        raise ArgumentTypeError(f"not COLUMN=FIELD: {argument!r}")
    return column, name


class Command(PrintingCommand):
    help = (
        "Imports a file of one entity into a company, batch by batch, as a sync would; rows with faults are left out. "
        "Exits with 0 if every row is in, 1 if some are faulty, 2 for bad arguments or a file that can't be read on, "
        "3 if the database stopped it, 130 after Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=text, metavar="FILE", help="plain or gzip; - is standard input")
        parser.add_argument("--company", type=guid, metavar="GUID", required=True)
        parser.add_argument("--entity", choices=ENTITIES, default="pieces")
        parser.add_argument("--format", choices=("auto", "ndjson", "json", "csv"), default="auto")
        parser.add_argument(
            "--map", type=pair, action="append", default=[], metavar="COLUMN=FIELD", help="of a CSV; no FIELD: left out"
        )
        parser.add_argument("--raw", action="store_true", help="of a CSV: its formulas are not escaped")
        parser.add_argument("--errors", type=text, metavar="FILE", help="where faulty rows go, as NDJSON")
        parser.add_argument("--keep-active", action="store_true", help="delete nothing: take every row as active")
        parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
        parser.add_argument("--resume", action="store_true", help="go on where the import of this file stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Stop()
        try:
            if options["dry_run"] and options["resume"]:
                raise CommandError("--dry-run writes nothing that could be resumed")
            company = company_of(options["company"])
            settle()
            with company_scope(company.guid), ExitStack() as stack, stop.handled():
                source = stack.enter_context(opened(options["file"]))
                rows = _rows(source, options)
                importer = _importer(options, stack)
                code, trouble = _run(importer, source, rows, stop, resume=options["resume"])
        except CommandError as error:
            error.returncode = UNREADABLE
            raise
        except BadFile as error:
            raise CommandError(f"{options['file']}: {error}", returncode=UNREADABLE) from error
        except AWAY as error:  # before the first row
            raise CommandError(_first_line(error), returncode=NO_DATABASE) from error
        progress = importer.progress
        if progress.rows or not trouble:
            result = {"rows": progress.rows, **{name: getattr(progress, name) for name in COUNTS}}
            ignored = sorted(importer.ignored)
            result |= {"ignored_fields": ignored if options["json"] else ", ".join(ignored) or None}
            result |= {"dry_run": options["dry_run"]}
            self.answer(options, result, *(["Nothing was written: --dry-run."] if options["dry_run"] else []))
        if trouble:
            if progress.rows and not options["dry_run"]:
                trouble += f"; {progress.rows} rows are done, --resume goes on after them"
            raise CommandError(f"{options['file']}: {trouble}", returncode=code)
        if code:
            sys.exit(code)


def _run(importer: Importer, source: Source, rows: Iterator[Row], stop: Stop, *, resume: bool) -> tuple[int, str]:
    """The exit code, and what has kept it from coming to the end."""
    progress = importer.progress
    try:
        with meter(source.size, progress.rows) as show:
            if resume:
                with stop.interruptible():
                    importer.skip(rows)
            show(progress.rows, source.position)
            for _ in importer.run(stop.between(batches_of(importer.model, rows))):
                show(progress.rows, source.position)
    except Changed as error:
        told = f"its first {progress.rows} rows are not those that were imported"
        told += " (with the same --map, --raw and --keep-active?); without --resume it is a new file"
        raise CommandError(f"{progress.source}: {told}") from error
    except BadFile as error:
        return UNREADABLE, str(error)
    except (ConflictRetry, *AWAY) as error:
        return NO_DATABASE, _first_line(error)
    except Overtaken:
        return NO_DATABASE, "another process is importing this file"
    except KeyboardInterrupt:
        return stop.exit_code, "stopped"
    return (SOME_FAULTY if progress.faulty else 0), ""


def _first_line(error: Exception) -> str:
    return f"the database: {str(error).splitlines()[0]}"


def _rows(source: Source, options: dict[str, Any]) -> Iterator[Row]:
    model, mapping = ENTITIES[options["entity"]], dict(options["map"])
    chosen = detect(source, model) if options["format"] == "auto" else options["format"]
    if mapping and chosen != "csv":
        raise BadFile(f"--map is for the columns of a CSV; this is {chosen}")
    if options["raw"] and chosen != "csv":
        raise BadFile(f"--raw is for a CSV; this is {chosen}")
    if len(mapping) < len(options["map"]):
        raise BadFile("--map names a column twice")
    if chosen == "csv":
        return csv_rows(source, model, mapping, raw=options["raw"])
    return json_rows(source, model) if chosen == "json" else ndjson_rows(source)


def _importer(options: dict[str, Any], stack: ExitStack) -> Importer:
    model: type[Entity] = ENTITIES[options["entity"]]
    source = STDIN if options["file"] == STDIN else os.path.abspath(options["file"])
    if len(source) > MAX_SOURCE:
        raise BadFile(f"its path has more than {MAX_SOURCE} characters")
    values = {"company_guid": options["company"], "entity": model.plural, "source": source}
    if options["dry_run"]:
        progress = FileImport(**values)
    elif options["resume"]:
        found = FileImport.objects.filter(**values).first()
        if found is None:
            raise BadFile("there is no import of this file to resume; start it without --resume")
        progress = found
    else:
        progress = FileImport.begin(**values, digest=b"")
    errors = (
        _errors_file(os.path.abspath(options["errors"]), progress, stack) if options["errors"] is not None else None
    )
    faulty = FaultyRows(model, errors, say)
    return Importer(model, progress, faulty, keep_active=options["keep_active"], dry_run=options["dry_run"])


def _errors_file(given: str | None, progress: FileImport, stack: ExitStack) -> IO[bytes] | None:
    """A new file; or that of the import that is resumed, without what was written to it after the last commit."""
    if given is None:
        return None
    path = os.path.abspath(given)
    if os.path.exists(path) and progress.source != STDIN and os.path.samefile(path, progress.source):
        raise BadFile("--errors would overwrite it")
    goes_on = progress.rows > 0 and progress.errors == path and os.path.exists(path)
    if goes_on and os.path.getsize(path) < progress.errors_size:
        raise BadFile(f"{path} has been cut since its last rows were written to it")
    try:
        file = stack.enter_context(open(path, "r+b" if goes_on else "wb"))  # noqa: SIM115  # it is in a context
    except OSError as error:
        raise CommandError(f"{given}: {error.strerror}") from error
    if goes_on:
        file.seek(progress.errors_size)
        file.truncate()
    progress.errors = path
    FileImport.objects.filter(guid=progress.guid).update(errors=path)
    return file
