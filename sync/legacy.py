"""The way over from the old server, out of its running PostgreSQL (docs/migrating.md). Rows of the four levels go
through the importer of files. What can't be taken is reported; what is here already is not made twice."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from uuid import UUID

import psycopg
from django.core.exceptions import ValidationError
from django.db import models
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from tqdm import tqdm

from pieces.models import LEVELS, Entity
from ractory.api.rendering import to_json
from sync.files.importing import Importer, batches_of
from sync.files.reading import FileRow
from sync.management.running import held, say
from sync.models import FileImport
from sync.schemas import max_items
from tenants.models import Company, User
from tenants.scope import company_scope

# bcrypt as passlib and others write it; a cost above 14 would hold a login for seconds.
BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
COMPANIES = "SELECT guid, name, short_name, is_active FROM companies ORDER BY created_at, guid"
USERS = "SELECT guid, company_guid, email, role, pwd_hash, name, surname, is_active FROM users ORDER BY created_at, 1"
KEYS = "SELECT guid, company_guid, description, scopes, last_used_at::text FROM api_keys WHERE is_active ORDER BY guid"
ROWS = "SELECT row_to_json(item) FROM (SELECT {} FROM {} WHERE company_guid = %s ORDER BY guid) AS item"
ORPHANS = "SELECT guid, company_guid FROM {} WHERE company_guid <> ALL(%s) ORDER BY guid"
COUNT = "SELECT count(*) AS rows FROM {}"


@contextmanager
def old_server(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that only reads, and sees one moment of the database throughout. SQLAlchemy's URLs will do."""
    dialect, separator, rest = url.partition("://")
    with psycopg.connect(dialect.partition("+")[0] + separator + rest, row_factory=dict_row) as connection:
        connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SET client_encoding TO 'UTF8'")
        set_json_loads(lambda raw: raw, connection)  # as it came: it is parsed by the door of sync, once
        yield connection


class Migration:
    """One run; `report` takes a line of JSON for whatever is not taken, `done` and `reasons` count."""

    def __init__(self, old: psycopg.Connection[Any], source: str, report: IO[bytes] | None) -> None:
        self.old, self.source, self.report = old, source, report
        self.done: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def run(self) -> None:
        self._take(Company, COMPANIES)
        self._take(User, USERS)
        for key in self.old.execute(KEYS):
            self._refuse("api-keys", key, "key_to_issue", "Only its bcrypt hash is there: issue a new key")
        there = [row["guid"] for row in self.old.execute(COMPANIES)]
        companies = list(Company.objects.filter(guid__in=there).order_by("guid").values_list("guid", flat=True))
        counts = [self.old.execute(sql.SQL(COUNT).format(sql.Identifier(model.plural))) for model in LEVELS]
        total = sum(one.fetchall()[0]["rows"] for one in counts)
        with tqdm(total=total, unit=" rows", disable=None, leave=False) as bar:
            for company in companies:
                with company_scope(company):
                    for model in LEVELS:
                        self._import(model, company, bar)
        for model in LEVELS:
            for row in self.old.execute(sql.SQL(ORPHANS).format(sql.Identifier(model.plural)), [companies]):
                self._refuse(model.plural, row, "company_not_found", f"There is no company {row['company_guid']}")

    def _take(self, model: type[Company | User], query: str) -> None:
        """The rows that are not here yet."""
        plural = str(model._meta.verbose_name_plural)
        for row in self.old.execute(query).fetchall():
            if model.objects.filter(guid=row["guid"]).exists():
                self.done[f"{plural}_here_already"] += 1
                continue
            hashed = row.pop("pwd_hash", None)
            made = model(**row)
            if isinstance(made, User):
                made.email = User.normalize_username(made.email)
                made.password = f"bcrypt${hashed}"
                if not BCRYPT.fullmatch(hashed):
                    made.set_unusable_password()
                    self._refuse(plural, row, "password", "Its hash is no bcrypt: the user is here, without a password")
            try:
                made.clean_fields(exclude=["password"])
                made.validate_unique()
                made.validate_constraints()
            except ValidationError as error:
                for field, messages in error.message_dict.items():
                    self._refuse(plural, row, "invalid", f"{field}: {' '.join(messages)}")
                continue
            made.save(force_insert=True)
            self.done[f"{plural}_inserted"] += 1

    def _import(self, model: type[Entity], company: UUID, bar: "tqdm[Any]") -> None:
        FileImport.objects.filter(entity=model.plural, source=self.source).delete()
        written = {"errors_size": self.report.tell() if self.report else 0, "digest": b""}
        of_company = {"company_guid": company, "entity": model.plural, "source": self.source}
        progress = FileImport.objects.create(**of_company, **written)
        importer = Importer(model, progress, errors=self.report, show=say)
        for batch in batches_of(self._rows(model, company), max_items(model)):
            with held():
                faulty = importer.add(batch)
            for row in faulty:
                self.reasons.update({f"{model.plural}: {fault.type}" for _, fault in row.faults})
            bar.update(len(batch))
        for name in ("rows", "inserted", "unchanged", "faulty"):
            self.done[f"{model.plural}_{name}"] += getattr(progress, name)

    def _rows(self, model: type[Entity], company: UUID) -> Iterator[FileRow]:
        """A company's rows, as items of a sync."""
        columns = [_column(field) for field in model.settable_fields() if field.attname != "company_guid"]
        query = sql.SQL(ROWS).format(sql.SQL(", ").join(columns), sql.Identifier(model.plural))
        with self.old.cursor("rows", row_factory=psycopg.rows.scalar_row) as cursor:
            cursor.itersize = 200  # of a few hundred KiB each, with pictures
            for number, raw in enumerate(cursor.execute(query, [company]), 1):
                yield FileRow(number, raw)

    def _refuse(self, entity: str, row: dict[str, Any], code: str, said: str) -> None:
        self.reasons[f"{entity}: {code}"] += 1
        line = {"entity": entity, **row, "faults": [{"field": None, "msg": said, "type": code}]}
        if self.report:
            self.report.write(to_json(line) + b"\n")
        else:
            say(f"{entity} {row['guid']}: {said}")


def _column(field: "models.Field[Any, Any]") -> sql.Composable:
    """What is too long is cut to one more than it may have: that is still a fault, and no gigabyte."""
    name, most = sql.Identifier(field.attname), sql.Literal((field.max_length or 0) + 1)
    if isinstance(field, models.CharField):
        return sql.SQL("left({0}, {1}) AS {0}").format(name, most)
    if isinstance(field, models.BinaryField):
        return sql.SQL("translate(encode(substring({0} FOR {1}), 'base64'), E'\\n', '') AS {0}").format(name, most)
    return name
