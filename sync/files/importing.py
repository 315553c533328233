"""A file's rows through the engine of sync, a batch and a transaction at a time, with a receipt each.

Where a request is all or nothing, a file is not: rows with faults are left out and told, the others go in. How far
the file has got is written with the batch, so that a file is taken up exactly where it stopped, whatever stopped it.
"""

import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
from django.db import reset_queries
from django.utils import timezone
from rest_framework.exceptions import ParseError

from pieces.deletion import Actor
from pieces.models import Entity
from ractory.api.body import MAX_VALUES, is_crowded
from ractory.api.errors import MAX_LISTED, ConflictRetry, Fault, Unprocessable, shown
from ractory.api.retry import in_transaction
from sync.engine import Outcome, synchronise
from sync.files.faults import FaultyRow, FaultyRows
from sync.files.rows import Row
from sync.files.source import BadFile
from sync.models import FileImport
from sync.planning import Action
from sync.receipts import Receipt
from sync.schemas import Batch, Item, max_items, parse
from tenants.caller import Caller, Role

MAX_BATCH = 8 * 1024 * 1024  # bytes; a thousand pieces with every field but the picture have two
MAX_TRIES = 10  # at a batch, leaving out the rows that the last try found at fault
PATIENCE = 5  # times that a batch is sent again when other writers were in its way
MAX_ACTOR = 300  # characters
COUNTS = ("inserted", "updated", "unchanged", "restored", "deleted", "faulty")

raw_values = msgspec.json.Decoder(list[msgspec.Raw])


class Changed(Exception):
    """The file does not begin with the rows that are in already."""


class Overtaken(Exception):
    """Another process imports the same file, and has got on meanwhile."""


@dataclass(slots=True)
class Checked:
    """The rows of a batch that the schema takes, each with its item, and those that it does not."""

    rows: list[Row] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    faulty: list[FaultyRow] = field(default_factory=list)


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
        checked = self._check(rows)
        before = self._hash.copy()
        self._hash.update(b"".join([row.raw + b"\n" for row in rows]))
        for _ in range(MAX_TRIES):
            try:
                return self._write(len(rows), checked)
            except Unprocessable as refusal:
                checked = _without_faulty(checked, refusal)
        # Each time others were found at fault, as when pieces hand their piece_ids on in a long chain.
        self._hash = before
        for row in rows:
            self._import([row])
        return None

    def _check(self, rows: Sequence[Row]) -> Checked:
        """By the schema: all at once if that is possible, else each row on its own, to know every fault of each."""
        batch = self._parsed(rows)
        if batch is None or not batch.is_valid:
            checked = Checked()
            for row in rows:
                self._check_one(row, checked)
        else:
            self.ignored.update(batch.ignored)
            checked = Checked(list(rows), batch.items)
        company = self.progress.company_guid
        if any(item["company_guid"] != company for item in checked.items):
            return _without_foreign(checked, company)
        return checked

    def _parsed(self, rows: Sequence[Row]) -> Batch | None:
        """None if some row is not one JSON object: then it might pass for several, or several for one."""
        texts = [self._completed(row.raw) for row in rows]
        joined = b"[%s]" % b",".join(texts)
        if is_crowded(joined):
            return None
        try:
            values = raw_values.decode(joined)
            if any(row.fault for row in rows) or [bytes(value) for value in values] != texts:
                return None
            return parse(self.model, b'{"%s":%s}' % (self.model.plural.encode(), joined), strict=False)
        except (msgspec.DecodeError, RecursionError, ParseError):
            return None

    def _check_one(self, row: Row, checked: Checked) -> None:
        known, faults = {}, [row.fault] if row.fault else []
        if is_crowded(row.raw):  # what it would become might not fit into the memory
            faults = [Fault((), f"The row has more than {MAX_VALUES} values", "too_many_values")]
        if not faults:
            try:
                known = orjson.loads(row.raw)
            except orjson.JSONDecodeError as error:
                faults = [Fault((), f"This is not JSON: {error.msg}, at position {error.pos + 1}", "json_invalid")]
        if not faults:
            batch = self._parsed([row])
            if batch is not None and batch.is_valid:
                self.ignored.update(batch.ignored)
                checked.rows.append(row)
                checked.items += batch.items
                return
            faults = batch.faults if batch else [Fault((), "This is no JSON that can be read", "json_invalid")]
        checked.faulty.append(FaultyRow(row, known if isinstance(known, dict) else {}, faults))

    def _completed(self, raw: bytes) -> bytes:
        """The row's JSON with the company in front, and behind it what the command line says.

        Of a key that stands twice the last one counts: a row may name its company itself.
        """
        if raw[:1] != b"{" or raw[-1:] != b"}":
            return raw
        if raw[1:2] != b'"' and (len(raw) == 2 or raw[1:-1].isspace()):
            return self._head[:-1] + self._tail
        return self._head + raw[1:-1] + self._tail

    def _write(self, received: int, checked: Checked) -> None:
        """The batch, its receipt and the progress in one transaction. Raises Unprocessable; then nothing is written."""
        receipt = self._receipt(received, checked)
        for attempt in range(PATIENCE):
            try:
                counts = in_transaction(lambda: self._transaction(received, checked, receipt))
                break
            except ConflictRetry:
                if attempt == PATIENCE - 1:
                    raise
                time.sleep(1)
        for name, count in counts.items():
            setattr(self.progress, name, getattr(self.progress, name) + count)
        self.progress.rows += received
        self.faulty_rows.keep()
        if not (checked.items or self.dry_run):
            run = receipt.run
            receipt.reject(Unprocessable.status_code, orjson.loads(run.errors_json), run.fault_count)

    def _transaction(self, received: int, checked: Checked, receipt: Receipt) -> dict[str, int]:
        outcome = Outcome([], [], Counter())
        if checked.items:
            actor = Actor(receipt.run.actor, receipt.run.request_id, receipt.run.guid)
            outcome = synchronise(self.model, checked.items, actor=actor, dry_run=self.dry_run)
        counts = {action.value: outcome.counts[action] for action in Action}
        counts["updated"] = len(outcome.actions) - counts["inserted"]  # as in receipts
        counts["faulty"] = len(checked.faulty)
        self.faulty_rows.write(checked.faulty)
        if not self.dry_run:
            self._advance(received, counts)
            if checked.items:
                receipt.succeed(Batch(checked.items, [], [], 0), outcome, dry_run=False)
        return counts

    def _advance(self, received: int, counts: dict[str, int]) -> None:
        progress = self.progress
        values = {name: getattr(progress, name) + count for name, count in counts.items()}
        values |= {"rows": progress.rows + received, "digest": self._hash.digest(), "updated_at": timezone.now()}
        values["errors_size"] = self.faulty_rows.size
        if not FileImport.objects.filter(guid=progress.guid, rows=progress.rows).update(**values):
            raise Overtaken

    def _receipt(self, received: int, checked: Checked) -> Receipt:
        """A receipt that lists the faults too, of rows that were left out."""
        progress = self.progress
        actor = f"import:{progress.source}"[:MAX_ACTOR]
        caller = Caller(progress.guid, actor, Role.INTEGRATION, progress.company_guid, frozenset())
        receipt = Receipt(self.model, caller, str(progress.guid))
        faults = [fault for row in checked.faulty for fault in row.in_receipt(self.model)]
        receipt.run.received = received
        receipt.run.errors_json = orjson.dumps(faults[:MAX_LISTED]).decode()
        receipt.run.fault_count = len(faults)
        return receipt


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


def _without_faulty(checked: Checked, refusal: Unprocessable) -> Checked:
    """What is left of the batch without the rows that the refusal names."""
    faults: dict[int, list[Fault]] = {}
    for fault in refusal.found:
        index: Any = fault.loc[2]
        faults.setdefault(index, []).append(fault)
    return _split(checked, faults)


def _without_foreign(checked: Checked, company: uuid.UUID) -> Checked:
    faults = {}
    for index, item in enumerate(checked.items):
        if item["company_guid"] != company:
            msg = f"The file is imported into company {company}, got {shown(item['company_guid'])}"
            faults[index] = [Fault(("body", "", index, "company_guid"), msg, "company_foreign")]
    return _split(checked, faults)


def _split(checked: Checked, faults: dict[int, list[Fault]]) -> Checked:
    left = Checked(faulty=list(checked.faulty))
    for index, (row, item) in enumerate(zip(checked.rows, checked.items, strict=True)):
        if index in faults:
            left.faulty.append(FaultyRow(row, item, faults[index]))
        else:
            left.rows.append(row)
            left.items.append(item)
    left.faulty.sort(key=lambda faulty: faulty.row.line)
    return left
