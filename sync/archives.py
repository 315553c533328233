"""A company as a whole: written to an archive, taken into another server row by row, removed for good. An archive is
JSON lines: a head with the company and the columns of each table, a line `[table, value, …]` for each row, and the
number of rows of each table. A row comes out as it went in, but for what OWN names."""

import gzip
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeAlias

import orjson
from django.contrib.admin.models import LogEntry
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F

from pieces.changes import copy_in, remove
from pieces.expressions import CommitPosition
from pieces.models import HISTORIES, LEVELS, Act, Deletion
from pieces.querysets import streamed
from ractory.api.rendering import to_json
from ractory.api.retry import in_transaction
from sync.models import Feed, FileImport, IdempotentAnswer, SeenBatch, Snapshot, SyncRun, Upload, UploadPart
from tenants.models import ApiKey, Company, LoginSession, User

Model: TypeAlias = type[models.Model]

# Each after those that its rows refer to.
TABLES: list[Model] = [Company, User, ApiKey, Act, Deletion, *LEVELS, *HISTORIES.values()]
TABLES += [SyncRun, IdempotentAnswer, FileImport]
BY_NAME = {model._meta.db_table: model for model in TABLES}
# What only the old database can go on with: tokens that its SECRET_KEY has signed; snapshots, which know the order of
# its commits; and the records of managing, whose users may be of no company. Uploads are gone in some days anyway.
LEFT_OUT: dict[Model, str] = dict.fromkeys([UploadPart, Upload, SeenBatch, Snapshot], "company")
LEFT_OUT |= dict.fromkeys([LoginSession, LogEntry], "user__company")
# Numbers that each database gives by itself, the place of an act among its commits, and where the company is.
OWN = frozenset({"id", "position", "moved_to"})
COLUMNS = {
    table: [field.attname for field in model._meta.concrete_fields if field.attname not in OWN]
    for table, model in BY_NAME.items()
}
BATCH = 1000  # rows that are inserted at once
SLICE = 5000  # rows that are removed in one transaction
CUT_OFF = "it is cut off or damaged"


class BadArchive(Exception):
    """It is none, is cut off or does not fit; the message says which, to a person."""


def _rows(model: Model, company: uuid.UUID, relation: str = "company") -> "models.QuerySet[Any]":
    return models.QuerySet(model).filter(**{"guid" if model is Company else relation: company})


def export(company: uuid.UUID, write: Callable[[bytes], object]) -> Iterator[None]:
    """Writes the archive, as of one moment; yields after each row."""
    counts = Counter[str]()
    write(to_json({"ractory": 1, "company": company, "columns": COLUMNS}) + b"\n")
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table, model in BY_NAME.items():
            for row in streamed(_rows(model, company).order_by("pk").values_list(*COLUMNS[table])):
                write(to_json([table, *row]) + b"\n")
                counts[table] += 1
                yield
    write(to_json({"rows": counts}) + b"\n")


@contextmanager
def opened(path: str, done: str) -> Iterator["Archive"]:
    """The archive in this file. CommandError for what is wrong with it, or with what its rows make, and what is `done`
    then: nothing."""
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            yield Archive(file)
    except (BadArchive, IntegrityError) as error:
        raise CommandError(f"{path}: {str(error).splitlines()[0]}; {done}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise CommandError(f"{path}: {getattr(error, 'strerror', None) or CUT_OFF}; {done}") from error


class Archive:
    """One that is being read. Raises BadArchive where it is none."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines, self.counts = iter(lines), Counter[str]()
        head = self._next()
        if not isinstance(head, dict) or head.get("ractory") != 1:
            raise BadArchive("this is no archive of a company")
        if head["columns"] != COLUMNS:
            raise BadArchive("it was written by another version of the server: bring both to the same one")
        self.company = uuid.UUID(head["company"])

    def _next(self) -> Any:
        try:
            return orjson.loads(next(self._lines))
        except (StopIteration, ValueError) as error:
            raise BadArchive(CUT_OFF) from error

    def rows(self) -> Iterator[list[Any]]:
        """Each row: the table, and the values of its columns."""
        while isinstance(row := self._next(), list):
            self.counts[row[0]] += 1
            yield row
        if row.get("rows") != self.counts:
            raise BadArchive("it does not hold as many rows as it says")


def take_in(archive: Archive) -> Iterator[int]:
    """Inserts its rows, within the caller's transaction; yields how many each step has inserted."""
    for table, rows in groupby(archive.rows(), itemgetter(0)):
        model, own = BY_NAME[table], {}
        fields: Any = [model._meta.get_field(name) for name in COLUMNS[table]]
        if model is Act:  # in the order of commits they are one here
            own["position"] = _rows(Company, archive.company).values_list(CommitPosition(), flat=True).get()
        columns = [*COLUMNS[table], *own]
        while batch := list(islice(rows, BATCH)):
            if model is User:
                emails = [row[1 + columns.index("email")] for row in batch]
                if taken := User.objects.filter(email__in=emails).values_list("email", flat=True):
                    raise BadArchive(f"there are users of other companies with the email {', '.join(taken)}")
            said = [[field.to_python(value) for field, value in zip(fields, row[1:], strict=True)] for row in batch]
            copy_in(model, columns, [[*row, *own.values()] for row in said])
            yield len(batch)


def counts_of(company: uuid.UUID) -> Counter[str]:
    """How many rows of each table there are."""
    return Counter({table: count for table, model in BY_NAME.items() if (count := _rows(model, company).count())})


def erase(company: uuid.UUID) -> Iterator[int]:
    """Removes all rows of a company for good, in short transactions; yields how many each has removed. One that was
    interrupted is finished by another run."""
    for model, relation in [*LEFT_OUT.items(), *dict.fromkeys(reversed(TABLES[1:]), "company").items()]:
        rows = _rows(model, company, relation)
        some = models.QuerySet[Any](model).filter(pk__in=rows.order_by("pk").values("pk")[:SLICE])
        while removed := in_transaction(partial(remove, some)):
            yield removed
    yield in_transaction(partial(_forget, company))


def _forget(company: uuid.UUID) -> int:
    """Ends the cursors of those who followed every company; on SQLite, whose acts' places will be given again, all."""
    purges = Company.objects.filter(guid=company).values_list("feed_epoch", flat=True).get() + 1
    Feed.objects.get_or_create(pk=Feed.KEY)
    renewed = {"identity": uuid.uuid4()} if connection.vendor == "sqlite" else {}
    Feed.objects.update(erased=F("erased") + purges, **renewed)
    return remove(Company.objects.filter(guid=company))
