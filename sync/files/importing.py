"""A file's rows through the door of sync, a batch and a transaction at a time, with a receipt each.

Where a request is all or nothing, a file is not: rows with faults are left out and reported, the others go in. How far
the file has got is written with the batch, so that a file is taken up exactly where it stopped, whatever stopped it.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import IO, Any, NamedTuple

import orjson
from django.db import reset_queries
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.models import Entity, Operation
from ractory.api.body import MAX_VALUES, is_crowded
from ractory.api.errors import ConflictRetry, Fault, Unprocessable
from ractory.api.rendering import to_json
from sync.files.reading import BadFile, FileRow
from sync.models import FileImport, Snapshot
from sync.schemas import Line, max_items
from sync.snapshots import SeenClaim, relations_of
from sync.submission import Claim, Options, Run, submit

MAX_BATCH = 8 * 1024 * 1024  # bytes; a thousand pieces with every field but the picture have two
PATIENCE = 5  # times that a batch is sent again when other writers were in its way
SHOWN = 10  # faulty rows that are shown to a person
COUNTS = ("inserted", "updated", "unchanged", "restored", "deleted", "faulty")


class Changed(Exception):
    """The file does not begin with the rows that are in already."""


class FaultyRow(NamedTuple):
    """A row that was left out, and every reason: the field, if one is meant, with its fault."""

    row: FileRow
    faults: Sequence[tuple[str | int | None, Fault]]

    def as_wire(self, model: type[Entity]) -> dict[str, Any]:
        """With what could be read of it."""
        item = {}
        if not is_crowded(self.row.raw):
            with suppress(orjson.JSONDecodeError):
                item = orjson.loads(self.row.raw)
        names = ("guid", *(name for name in ("piece_id", "code") if hasattr(model, name)))
        known = {name: item.get(name) if isinstance(item, dict) else None for name in names}
        faults = [{"field": field, "msg": fault.msg, "type": fault.type} for field, fault in self.faults]
        return {"entity": model.plural, "line": self.row.line, **known, "faults": faults}

    def __str__(self) -> str:
        reasons = (f"{field}: {fault.msg}" if field else fault.msg for field, fault in self.faults)
        return f"line {self.row.line}: {'; '.join(reasons)}"


class FaultyRows:
    """Where the faulty rows go: to an unbuffered file, or the first ones to a person.

    What is written belongs to a batch, and stays only once the batch is kept.
    """

    def __init__(self, model: type[Entity], file: IO[bytes] | None, show: Callable[[str], None]) -> None:
        self.model, self.file, self.show = model, file, show
        self._kept = self.size
        self._shown = 0
        self.reasons: Counter[str] = Counter()  # types of faults: the rows that have them
        self._batch: Sequence[FaultyRow] = ()

    @property
    def size(self) -> int:
        """Bytes of the file, with the batch that is being written."""
        return self.file.tell() if self.file else 0

    def write(self, rows: Sequence[FileRow], faulty: Sequence[FaultyRow]) -> dict[str, Any]:
        """Puts the faulty ones of these rows on the disk, in place of those of an attempt that was given up; what else
        is to be known of the progress. Raises OSError."""
        self._batch = faulty
        if self.file is not None and (faulty or self.size > self._kept):
            if self.size > self._kept:
                self.file.seek(self._kept)
                self.file.truncate()
            lines = b"".join(to_json(row.as_wire(self.model)) + b"\n" for row in faulty)
            while lines:  # a disk that is getting full takes a part
                lines = lines[self.file.write(lines) :]
            os.fsync(self.file.fileno())
        return {"errors_size": self.size}

    def keep(self) -> None:
        """The batch has been committed."""
        self._kept = self.size
        self.reasons.update(kind for row in self._batch for kind in {fault.type for _, fault in row.faults})
        if self.file is None:
            for row in self._batch[: SHOWN - self._shown]:
                self.show(str(row))
            self._shown = min(SHOWN, self._shown + len(self._batch))


class Importer:
    """Imports into one company, within its scope; `progress` has been saved, unless it is a command's dry run."""

    def __init__(
        self,
        model: type[Entity],
        progress: Any,  # a FileImport, or another Progress with an actor
        faulty_rows: Any,  # a FaultyRows, or what has its `write` and `keep`
        *,
        keep_active: bool = False,
        dry_run: bool = False,
        match: bool = False,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.model, self.progress, self.faulty_rows = model, progress, faulty_rows
        self.keep_active, self.snapshot = keep_active, snapshot
        relations = relations_of(snapshot) if snapshot else {}
        self.options = Options(dry_run=dry_run, receipt=not dry_run, leave_out=True, match=match, snapshot=relations)
        self.ignored: set[str] = set()
        self._hash = hashlib.sha256(b"keep active" if keep_active else b"")

    def skip(self, rows: Iterator[FileRow]) -> None:
        """Goes to where the import stopped. Raises Changed if what comes before is not what has been imported."""
        for _ in range(self.progress.rows):
            row = next(rows, None)
            if row is None:
                raise Changed
            self._hash.update(row.raw + b"\n")
        if self.progress.rows and self._hash.digest() != bytes(self.progress.digest):
            raise Changed

    def add(self, rows: Sequence[FileRow]) -> None:
        """A batch, in one transaction with its receipt and the progress.

        Raises ConflictRetry and Overtaken; OSError if the faulty rows can't be written. Then nothing of it is in.
        """
        reset_queries()  # with DEBUG Django would keep them
        lines, unreadable = [], []
        for place, row in enumerate(rows):
            fault = row.fault
            if is_crowded(row.raw):  # what it would become might not fit into the memory
                fault = Fault((), f"The row has more than {MAX_VALUES} values", "too_many_values")
            if fault:
                unreadable.append(replace(fault, loc=("body", self.model.plural, place)))
            else:
                lines.append(Line(place, self._completed(row.raw)))
        digest = self._hash.copy()
        digest.update(b"".join([row.raw + b"\n" for row in rows]))
        origin = Origin(Operation.IMPORT, self.progress.actor, str(self.progress.guid), run=uuid7())
        options = replace(self.options, line_numbers=[row.line for row in rows])
        claim = _Advance(self, rows, digest.digest())
        seen = SeenClaim(self.snapshot, claim) if self.snapshot else claim
        for attempt in range(PATIENCE):
            try:
                run = submit(self.model, lines, origin=origin, options=options, claim=seen, faults=unreadable)
                break
            except ConflictRetry:
                if attempt == PATIENCE - 1:
                    raise
                time.sleep(1)
            except Unprocessable:
                # Each time others were found at fault, as when pieces hand their piece_ids on in a long chain.
                for row in rows:
                    self.add([row])
                return
        self._hash = digest
        self.ignored.update(run.ignored)
        for name, value in claim.values.items():
            setattr(self.progress, name, value)
        self.faulty_rows.keep()

    def _completed(self, raw: bytes) -> bytes:
        """The row's JSON with the company in front, and behind it what the command line says.

        Of a key that stands twice the last one counts: a row may name its company itself.
        """
        if raw[:1] != b"{" or raw[-1:] != b"}":
            return raw
        head = b'{"company_guid":"%s"' % str(self.progress.company_guid).encode()
        tail = b',"is_active":true}' if self.keep_active else b"}"
        is_empty = raw[1:2] != b'"' and not raw[1:-1].strip()
        return head + tail if is_empty else head + b"," + raw[1:-1] + tail


@dataclass(slots=True)
class _Advance(Claim):
    """The claim of a batch: its faulty rows, and how far the import has got with it."""

    importer: Importer
    rows: Sequence[FileRow]
    digest: bytes
    values: dict[str, Any] = field(default_factory=dict)  # of the progress, once this is kept

    def keep(self, run: Run) -> None:
        """Raises Overtaken."""
        faults: dict[Any, list[tuple[Any, Fault]]] = {}
        for fault in run.left_out:
            _, _, place, *rest = fault.loc
            faults.setdefault(place, []).append((rest[0] if rest else None, fault))
        faulty = [FaultyRow(row, faults[place]) for place, row in enumerate(self.rows) if place in faults]
        progress = self.importer.progress
        more = {**run.counts, "faulty": len(faulty), "rows": len(self.rows)}
        self.values = {name: getattr(progress, name) + count for name, count in more.items()}
        self.values |= self.importer.faulty_rows.write(self.rows, faulty)
        if isinstance(progress, FileImport):
            self.values["digest"] = self.digest
        if not progress._state.adding:
            self.values = progress.write(self.values)


def batches_of(model: type[Entity], rows: Iterator[FileRow]) -> Iterator[list[FileRow]]:
    """As many rows as a request may have, and not too many bytes. A file that breaks off first gives what it has."""
    batch: list[FileRow] = []
    size = 0
    try:
        for row in rows:
            batch.append(row)
            size += len(row.raw)
            if len(batch) == max_items(model) or size > MAX_BATCH:
                yield batch
                batch, size = [], 0
    except BadFile:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
