"""A file's rows through the door of sync, a batch and a transaction at a time, with a receipt each.

Where a request is all or nothing, a file is not: rows with faults are left out and told, the others go in. How far
the file has got is written with the batch, so that a file is taken up exactly where it stopped, whatever stopped it.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import reset_queries
from django.utils import timezone
from uuid_utils.compat import uuid7

from pieces.changes import Origin
from pieces.models import Entity, Operation
from ractory.api.body import MAX_VALUES, is_crowded
from ractory.api.errors import ConflictRetry, Fault, Unprocessable
from sync.files.faults import FaultyRow, FaultyRows
from sync.files.rows import Row
from sync.files.source import BadFile
from sync.models import FileImport
from sync.planning import Action
from sync.schemas import Line, max_items
from sync.submission import Options, Run, submit

MAX_BATCH = 8 * 1024 * 1024  # bytes; a thousand pieces with every field but the picture have two
PATIENCE = 5  # times that a batch is sent again when other writers were in its way
MAX_ACTOR = 300  # characters
COUNTS = ("inserted", "updated", "unchanged", "restored", "deleted", "faulty")


class Changed(Exception):
    """The file does not begin with the rows that are in already."""


class Overtaken(Exception):
    """Another process imports the same file, and has got on meanwhile."""


@dataclass(slots=True)
class Importer:
    """Imports into one company, within its scope; one for each run of the command."""

    model: type[Entity]
    progress: FileImport  # saved, unless it is a dry run
    faulty_rows: FaultyRows
    keep_active: bool = False
    dry_run: bool = False
    ignored: set[str] = field(default_factory=set)
    _hash: Any = field(init=False)
    _head: bytes = field(init=False)
    _tail: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256(b"keep active" if self.keep_active else b"")
        self._head = b'{"company_guid":"%s",' % str(self.progress.company_guid).encode()
        self._tail = b',"is_active":true}' if self.keep_active else b"}"

    def skip(self, rows: Iterator[Row]) -> None:
        """Goes to where the import stopped. Raises Changed if what comes before is not what has been imported."""
        for _ in range(self.progress.rows):
            row = next(rows, None)
            if row is None:
                raise Changed
            self._hash.update(row.raw + b"\n")
        if self.progress.rows and self._hash.digest() != bytes(self.progress.digest):
            raise Changed

    def run(self, batches: Iterable[Sequence[Row]]) -> Iterator[None]:
        """Imports the batches; yields after each."""
        for batch in batches:
            self._import(batch)
            reset_queries()  # with DEBUG Django would keep them
            yield

    def _import(self, rows: Sequence[Row]) -> None:
        """A batch, in one transaction with its receipt and the progress."""
        lines, unreadable = [], []
        for row in rows:
            if is_crowded(row.raw):  # what it would become might not fit into the memory
                unreadable.append(self._fault(row, f"The row has more than {MAX_VALUES} values", "too_many_values"))
            elif row.fault:
                unreadable.append(self._fault(row, row.fault.msg, row.fault.type))
            else:
                lines.append(Line(row.line - 1, self._completed(row.raw)))
        digest = self._hash.copy()
        digest.update(b"".join([row.raw + b"\n" for row in rows]))
        actor, request = f"import:{self.progress.source}"[:MAX_ACTOR], str(self.progress.guid)
        origin = Origin(Operation.IMPORT, actor, request, run=uuid7())
        options = Options(dry_run=self.dry_run, leave_out=True, receipt=not self.dry_run)
        claim = _Advance(self, rows, digest.digest())
        for attempt in range(PATIENCE):
            try:
                run = submit(self.model, lines, origin=origin, options=options, claim=claim, faults=unreadable)
                break
            except ConflictRetry:
                if attempt == PATIENCE - 1:
                    raise
                time.sleep(1)
            except Unprocessable:
                # Each time others were found at fault, as when pieces hand their piece_ids on in a long chain.
                for row in rows:
                    self._import([row])
                return
        self._hash = digest
        self.ignored.update(run.ignored)
        for name, value in claim.values.items():
            setattr(self.progress, name, value)
        self.faulty_rows.keep()

    def _fault(self, row: Row, msg: str, code: str) -> Fault:
        return Fault(("body", self.model.plural, row.line - 1), msg, code)

    def _completed(self, raw: bytes) -> bytes:
        """The row's JSON with the company in front, and behind it what the command line says.

        Of a key that stands twice the last one counts: a row may name its company itself.
        """
        if raw[:1] != b"{" or raw[-1:] != b"}":
            return raw
        if raw[1:2] != b'"' and (len(raw) == 2 or raw[1:-1].isspace()):
            return self._head[:-1] + self._tail
        return self._head + raw[1:-1] + self._tail


@dataclass(slots=True)
class _Advance:
    """The claim of a batch: its faulty rows, and how far the import has got with it."""

    importer: Importer
    rows: Sequence[Row]
    digest: bytes
    values: dict[str, Any] = field(default_factory=dict)  # of the progress, once this is kept

    def take(self) -> None:
        """Nothing: what has been done meanwhile is seen in the end."""

    def keep(self, run: Run) -> None:
        """Raises Overtaken."""
        faults: dict[Any, list[Fault]] = {}
        for fault in run.left_out:
            faults.setdefault(fault.loc[2], []).append(fault)
        faulty = [FaultyRow(row, faults[row.line - 1]) for row in self.rows if row.line - 1 in faults]
        self.importer.faulty_rows.write(faulty)
        progress = self.importer.progress
        counts = {action.value: run.counts[action] for action in Action} | {"faulty": len(faulty)}
        counts["updated"] = len(run.outcomes) - counts["inserted"]  # as in receipts
        self.values = {name: getattr(progress, name) + count for name, count in counts.items()}
        self.values["rows"] = progress.rows + len(self.rows)
        if not self.importer.dry_run:
            saved = {"digest": self.digest, "updated_at": timezone.now(), "errors_size": self.importer.faulty_rows.size}
            here = FileImport.objects.filter(guid=progress.guid, rows=progress.rows)
            if not here.update(**self.values, **saved):
                raise Overtaken


def batches_of(model: type[Entity], rows: Iterator[Row]) -> Iterator[list[Row]]:
    """As many rows as a request may have, and not too many bytes. A file that breaks off first gives what it has."""
    batch: list[Row] = []
    size, broken = 0, None
    try:
        for row in rows:
            batch.append(row)
            size += len(row.raw)
            if len(batch) == max_items(model) or size > MAX_BATCH:
                yield batch
                batch, size = [], 0
    except BadFile as error:
        broken = error
    if batch:
        yield batch
    if broken:
        raise broken
