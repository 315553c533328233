"""How this project's commands take and give: GUIDs as arguments, lines for a person or one JSON object."""

import json
import re
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework.exceptions import APIException
from tqdm import tqdm

from ractory.api.errors import ConflictRetry
from ractory.api.query import in_utc
from ractory.signals import exit_code
from ractory.variables import number
from tenants.models import Company
from tenants.scope import company_scope, every_company

M = TypeVar("M", bound=Model)
T = TypeVar("T")

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

WRONG_USE = 2  # exit codes: manage.py
KEEP_KEY = "Keep the key: it is not stored and can't be shown again."
NOT_REMOVED = "Nothing was removed: --dry-run."


def argument(parse: Callable[[str], T], said: str = "") -> Callable[[str], T]:
    """What `parse` makes of an argument, or an error: `said` and what was given, else what `parse` raised."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            raise ArgumentTypeError(f"{said}: {text!r}" if said else str(error)) from error

    return parsed


guid = argument(uuid.UUID, "not a UUID")
moment = argument(lambda text: in_utc(datetime.fromisoformat(text)), "not an ISO 8601 date or time")


def whole(least: int, most: int) -> Callable[[str], int]:
    return argument(number(least, most), f"not a number from {least} to {most}")


def text(value: str) -> str:
    """An argument that can be stored. Not so bytes that are no UTF-8, which Python makes lone surrogates of."""
    if not value.isprintable():
        raise ArgumentTypeError(f"not plain text: {value!r}")
    return value


def future(text: str) -> datetime:
    parsed = moment(text)
    if parsed <= timezone.now():
        raise ArgumentTypeError(f"not in the future: {text!r}")
    return parsed


def duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if found is None and text != "0":
        raise ArgumentTypeError(f"not a duration: {text!r}; write 90m, 24h, 365d or 0")
    return int(found[1]) * UNITS[found[2]] if found else timedelta()


def add_age(parser: CommandParser, default: timedelta | None = None, help: str = "365d") -> None:
    """`--older-than`, of a command that removes things; `age_of` reads it."""
    parser.add_argument("--older-than", type=duration, default=default, required=not default, metavar="AGE", help=help)
    parser.add_argument("--yes", action="store_true", help="allow an age of 0: remove all there is")
    parser.add_argument("--dry-run", action="store_true", help="count only")


def age_of(options: dict[str, Any]) -> timedelta:
    age: timedelta = options["older_than"]
    if not (age or options["yes"] or options["dry_run"]):
        raise CommandError("--older-than 0 removes all there is, so it needs --yes", returncode=WRONG_USE)
    return age


def taken(steps: Iterable[int], unit: str, total: int | None = None) -> CommandError | None:
    """Takes all steps, each of so many rows, with a bar on a terminal; the error to end with, if any."""
    try:
        with tqdm(unit=f" {unit}", total=total, leave=False, disable=None) as bar:
            for rows in steps:
                bar.update(rows)
    except KeyboardInterrupt as stop:
        return CommandError("stopped; run it again to go on", returncode=exit_code(stop))
    except ConflictRetry:
        return CommandError(f"the {unit} are busy; run it again to go on", returncode=1)
    return None


def row_of(rows: QuerySet[M], guid: uuid.UUID, said: str) -> M:
    """The one of these rows with this guid. Raises CommandError if there is none."""
    row = rows.filter(pk=guid).first()
    if row is None:
        raise CommandError(f"there is no {said} {guid}")
    return row


def company_of(company_guid: uuid.UUID) -> Company:
    return row_of(Company.objects.all(), company_guid, "company")


def scope_of(company_guid: uuid.UUID | None) -> AbstractContextManager[None]:
    """The scope of a command: the company that `--company` names, or every one."""
    return every_company() if company_guid is None else company_scope(company_of(company_guid).guid)


class OperatorCommand(BaseCommand):
    """A command for rows of any company: an operator is of none. What the API would refuse is an error of it."""

    @every_company()
    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except APIException as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        except ValidationError as refusal:  # of a model
            faults = [f"{name}: {' '.join(messages)}" for name, messages in refusal.message_dict.items()]
            raise CommandError("; ".join(faults).replace("__all__: ", "")) from refusal


class PrintingCommand(OperatorCommand):
    """One that prints a person's lines, or with `--json` one JSON object; a bad argument, one line of error."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.print_usage = lambda file=None: None  # type: ignore[method-assign]  # it would precede each error
        return parser

    def answer(self, options: dict[str, Any], result: dict[str, Any], *remarks: str) -> None:
        """Prints `result` and, to a person only, remarks below it."""
        if options["json"]:
            self.stdout.write(json.dumps(result, default=str))
            return
        width = max(map(len, result))
        lines = [f"{name:{width}}  {'-' if value is None else value}" for name, value in result.items()]
        self.stdout.write("\n".join([*lines, *remarks]))


class ListingCommand(PrintingCommand):
    """One that prints rows: for a person a line each, with `--json` one object with the array `name`."""

    name: str
    rows: "QuerySet[Any, Any]"  # as dicts, or as `listed` makes dicts of them

    def add_arguments(self, parser: CommandParser) -> None:
        if self.rows.model is not Company:
            parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")

    def listed(self, rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
        return rows

    def handle(self, *args: Any, **options: Any) -> None:
        company = options.get("company")
        found = self.rows.filter(company=company_of(company)) if company else self.rows.all()
        limit = options.get("limit")
        rows = list(self.listed(found[: limit and limit + 1]))
        is_cut = limit is not None and len(rows) > limit
        rows = rows[:limit]
        if options["json"]:
            self.answer(options, {self.name: rows} | ({"more": is_cut} if limit else {}))
            return
        cells = [["-" if value in (None, "") else str(value) for value in row.values()] for row in rows]
        cells = [[text if text.isprintable() else repr(text) for text in line] for line in cells]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        lines += ["There are more: --limit."] if is_cut else []
        self.stdout.write("\n".join(lines or ["There are none."]))
