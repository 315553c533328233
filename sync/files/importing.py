"""A file's rows through the door of sync, a batch and a transaction at a time, with a receipt each. Rows with faults
are left out and reported, the others go in. How far the file has got is written with the batch, so that it is taken up
exactly where it stopped, whatever stopped it."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
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
from sync.models import Snapshot
from sync.schemas import Line
from sync.submission import Claim, Options, Run, submit

MAX_BATCH = 8 * 1024 * 1024  # bytes; a thousand pieces with every field but the picture have two
PATIENCE = 5  # times that a batch is sent again when other writers were in its way
SHOWN = 10  # faulty rows that are shown to a person
COUNTS = ("inserted", "updated", "unchanged", "restored", "deleted", "faulty")


class FaultyRow(NamedTuple):
    """A row that was left out, and every reason: the field, if one is meant, with its fault."""

    place: int  # among the rows that went in together
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


class Importer(Claim):
    """Imports into one company, within its scope; `progress` has been saved, unless it is a command's dry run. Faulty
    rows go to `errors`, an unbuffered file, from the byte on that the progress knows; else `show` gets the first."""

    def __init__(
        self,
        model: type[Entity],
        progress: Any,  # a FileImport, or another Progress with an actor, and a `note` of its own
        *,
        errors: IO[bytes] | None = None,
        show: Callable[[str], None] | None = None,
        keep_active: bool = False,
        dry_run: bool = False,
        match: bool = False,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.model, self.progress, self.errors, self.show = model, progress, errors, show
        self.keep_active, self.snapshot = keep_active, snapshot
        self.options = Options(dry_run=dry_run, receipt=not dry_run, leave_out=True, match=match, snapshot=snapshot)
        self.ignored: set[str] = set()

    def skip(self, rows: Iterator[FileRow]) -> None:
        """Goes to where the import stopped. Raises BadFile if what comes before is not what has been imported."""
        number = self.progress.rows
        if number and self._digest(b"", islice(rows, number)) != bytes(self.progress.digest):
            raise BadFile(
                f"its first {number} rows are not those that were imported (with the same --map, --raw and "
                "--keep-active?); without --resume it is a new file"
            )

    def add(self, rows: Sequence[FileRow]) -> list[FaultyRow]:
        """A batch, in one transaction with its receipt and the progress; which rows of it were left out. Raises
        ConflictRetry, Overtaken, and OSError if the faulty rows can't be written; then nothing of it is in."""
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
        origin = Origin(Operation.IMPORT, self.progress.actor, str(self.progress.guid), run=uuid7())
        options = replace(self.options, line_numbers=[row.line for row in rows])
        self.rows = rows
        for attempt in range(PATIENCE):
            try:
                run = submit(self.model, lines, origin=origin, options=options, claim=self, faults=unreadable)
                break
            except ConflictRetry:
                if attempt == PATIENCE - 1:
                    raise
                time.sleep(1)
            except Unprocessable:
                # Each time others were found at fault, as when pieces hand their piece_ids on in a long chain.
                return [faulty for row in rows for faulty in self.add([row])]
        self.ignored.update(run.ignored)
        if self.show and self.errors is None:
            for faulty in self.faulty[: max(0, SHOWN - self.progress.faulty)]:
                self.show(str(faulty))
        for name, value in self.values.items():
            setattr(self.progress, name, value)
        return self.faulty

    def keep(self, run: Run) -> None:
        """With the data of a batch: its faulty rows, and how far the import has got. Raises Overtaken, OSError."""
        faults: dict[Any, list[tuple[Any, Fault]]] = {}
        for fault in run.left_out:
            _, _, place, *rest = fault.loc
            faults.setdefault(place, []).append((rest[0] if rest else None, fault))
        self.faulty = [FaultyRow(place, row, faults[place]) for place, row in enumerate(self.rows) if place in faults]
        more = {**run.counts, "faulty": len(self.faulty), "rows": len(self.rows)}
        self.values = {name: getattr(self.progress, name) + count for name, count in more.items()} | self.note()
        if not self.progress._state.adding:
            self.values = self.progress.write(self.values)

    def note(self) -> dict[str, Any]:
        """Writes the faulty rows, over those of an attempt that was given up; more values of the progress."""
        values = {"digest": self._digest(bytes(self.progress.digest), self.rows)}
        if self.errors is None:
            return values
        if self.errors.tell() > self.progress.errors_size:
            self.errors.seek(self.progress.errors_size)
            self.errors.truncate()
        lines = b"".join(to_json(row.as_wire(self.model)) + b"\n" for row in self.faulty)
        while lines:  # a disk that is getting full takes a part
            lines = lines[self.errors.write(lines) :]
        if self.faulty:
            os.fsync(self.errors.fileno())
        return values | {"errors_size": self.errors.tell()}

    def _digest(self, digest: bytes, rows: Iterable[FileRow]) -> bytes:
        """That of the rows up to these, from that of those before them."""
        if not digest and self.keep_active:
            digest = b"keep active"
        for row in rows:
            digest = hashlib.sha256(digest + row.raw).digest()
        return digest

    def _completed(self, raw: bytes) -> bytes:
        """The row's JSON with the company in front, which a row may name itself: of a key that stands twice the last
        one counts. Behind it what the command line says."""
        if raw[:1] != b"{" or raw[-1:] != b"}":
            return raw
        head = b'{"company_guid":"%s"' % str(self.progress.company_guid).encode()
        tail = b',"is_active":true}' if self.keep_active else b"}"
        is_empty = raw[1:2] != b'"' and not raw[1:-1].strip()
        return head + tail if is_empty else head + b"," + raw[1:-1] + tail


def batches_of(rows: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """At most so many rows, and not too many bytes. A file that breaks off first gives what it has."""
    batch: list[Any] = []
    size = 0
    try:
        for row in rows:
            batch.append(row)
            size += len(row.raw)
            if len(batch) == most or size > MAX_BATCH:
                yield batch
                batch, size = [], 0
    except BadFile:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
