"""A company's rows as a file that an import of it takes: one snapshot, in the order of the guids, row by row.

What a sync can't set (`created_at`, `updated_at`, `deleted_at`) is left out, and so is the company: a file may be
imported into another one, and the file of the same rows is the same, byte for byte.
"""

import csv
import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import IO, Any, cast

from django.core.management.base import CommandError
from django.db.models import QuerySet

from pieces.models import Entity
from pieces.querysets import streamed
from ractory.api.rendering import to_json
from sync.files.tables import cell_of


def export(rows: "QuerySet[Any]", write: Callable[[bytes], object], *, as_csv: bool, raw: bool) -> Iterator[None]:
    """Writes `rows` as CSV, `raw` or with formulas escaped, or else as NDJSON; yields after each."""
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


@contextmanager
def written(path: str) -> Iterator[IO[bytes]]:
    """A file that is there, whole and on the disk, once the context has ended well; gzip if its name ends so.

    Until then it has another name, in the same directory. Only its owner may read it. Raises CommandError if that
    can't be.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".export-")
        with os.fdopen(descriptor, "wb") as file:
            # Neither name nor time is in it: the same rows are the same bytes.
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.endswith(".gz") else nullcontext(file)
            with packed as target:
                yield cast(IO[bytes], target)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    finally:
        if temporary:
            os.unlink(temporary)
