"""How this project's commands take and give: GUIDs as arguments, lines for a person or one JSON object."""

import json
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model, QuerySet
from django.utils import timezone

from ractory.api.query import in_utc
from tenants.models import Company
from tenants.scope import company_scope, every_company

M = TypeVar("M", bound=Model)

STOPPED = 130  # exit code after Ctrl-C, as a shell has it
KEEP_KEY = "Keep the key: it is not stored and can't be shown again."
NOT_REMOVED = "Nothing was removed: --dry-run."


def guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not a UUID: {text!r}") from error


def text(value: str) -> str:
    """An argument that can be stored. Not so bytes that are no UTF-8, which Python makes lone surrogates of."""
    if not value.isprintable():
        raise ArgumentTypeError(f"not plain text: {value!r}")
    return value


def moment(text: str) -> datetime:
    try:
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"not an ISO 8601 date or time: {text!r}") from error


def future(text: str) -> datetime:
    parsed = moment(text)
    if parsed <= timezone.now():
        raise ArgumentTypeError(f"not in the future: {text!r}")
    return parsed


def days(text: str) -> timedelta:
    number = text.removesuffix("d")
    if not number.isascii() or not number.isdecimal() or len(number) > 5:
        raise ArgumentTypeError(f"not a number of days: {text!r}; write 90d")
    return timedelta(days=int(number))


def whole(least: int, most: int) -> Callable[[str], int]:
    """What takes the whole numbers of a range, and only digits: no sign, no space, no underscore."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
            raise ArgumentTypeError(f"not a number from {least} to {most}: {text!r}")
        return int(text)

    return number


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
    """A command for rows of any company: an operator is of none."""

    @every_company()
    def execute(self, *args: Any, **options: Any) -> Any:
        return super().execute(*args, **options)


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
