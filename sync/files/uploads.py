"""An upload from its file to its rows: stored in pieces, read into batches, checked, imported, each a bit at a time.

Whatever is done is written in one transaction with how far it has got. So whoever does it may be killed, and of two who
do it at once one is Overtaken and has done nothing (docs/decisions/0024).
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.core.files.uploadedfile import UploadedFile
from openpyxl.utils import get_column_letter

from pieces.models import LEVELS_BY_PLURAL, Entity, Piece
from ractory.api.errors import Fault
from ractory.api.retry import in_transaction
from sync.files.columns import Unusable, fields_of, guess, in_words, value_of
from sync.files.importing import COUNTS, Importer
from sync.files.reading import BadFile, FileRow, Source, detect, json_rows, ndjson_rows
from sync.files.spreadsheets import MAX_COLUMNS, Sheet
from sync.files.tables import records
from sync.matching import MATCHED_BY
from sync.models import MAX_NAME, Overtaken, Upload, UploadPart
from tenants.scope import company_scope

MAX_FILE = 64 * 1024 * 1024  # bytes
MAX_UNPACKED = 1024 * 1024 * 1024  # bytes of what is in it
MAX_ROWS = 100_000
PIECE = 1024 * 1024  # bytes of a file in one row of the table
BATCH, BATCH_SIZE = 1000, 8 * 1024 * 1024  # rows, and bytes, that go in together
ZIP, OLE = b"PK", b"\xd0\xcf\x11\xe0"  # what files begin with: XLSX; Excel's before that, and those with a password
Stage = Upload.Stage


class Row(NamedTuple):
    """A row as it is stored: its number in the file, what its cells say, by column, or what makes it unreadable. A cell
    that is not there says nothing."""

    line: int
    cells: dict[str, Any]
    fault: str | None = None


def store(file: "UploadedFile[Any]", *, entity: str, company: UUID, actor: str) -> Upload:
    """A new upload of this file."""
    name, size = (file.name or "")[-MAX_NAME:].replace("\0", ""), file.size or 0
    upload = Upload(company_guid=company, entity=entity, name=name, size=size, actor=actor)

    def save() -> None:
        file.seek(0)
        upload.save(force_insert=True)
        for start in range(0, size, PIECE):
            part = UploadPart(upload=upload, company_guid=company, is_file=True, start=start, data=file.read(PIECE))
            part.save(force_insert=True)

    in_transaction(save)
    return upload


def go_on(upload: Upload, until: float) -> None:
    """Takes the upload on until that moment (`time.monotonic()`), by a batch at least, as far as it goes by itself.

    Raises ConflictRetry, and what `submit` raises for a company that is closed; what was done before stays.
    """
    with company_scope(upload.company_guid):
        try:
            while upload.stage in Upload.WORKING:
                (_read if upload.stage == Stage.READING else _submit)(upload, until)
                if time.monotonic() > until:
                    break
        except BadFile as error:
            advance(upload, stage=Stage.UNREADABLE, notes=[str(error)])
        except Overtaken:
            upload.refresh_from_db()


def begin(upload: Upload, stage: Stage, **values: Any) -> None:
    """Has it checked, or imported, from the first row on. Raises Overtaken."""
    forget = partial(upload.parts.update, faults=b"[]")
    advance(upload, forget, stage=stage, rows=0, reasons=[], **dict.fromkeys(COUNTS, 0), **values)


def advance(upload: Upload, more: Any = None, **values: Any) -> None:
    """Writes the values, in a transaction with `more`. Raises Overtaken."""

    def save() -> dict[str, Any]:
        written = upload.write(values)
        if more:
            more()
        return written

    for name, value in in_transaction(save).items():
        setattr(upload, name, value)


def text_of(cell: Any) -> str:
    """A cell as a person sees it."""
    if isinstance(cell, dict):
        return str(next(iter(cell.values()), ""))
    return "" if cell is None else str(cell)


# --- Reading ------------------------------------------------------------------------------------


def _read(upload: Upload, until: float) -> None:
    """Makes batches of the rows that come next; with the last one the file is done with."""
    model, batch, notes = LEVELS_BY_PLURAL[upload.entity], list[bytes](), list[str]()
    columns, position, stored = list(upload.columns), upload.position, upload.stored

    def keep() -> None:
        part = UploadPart(upload=upload, company_guid=upload.company_guid, start=upload.total)
        part.data, total = b"[" + b",".join(batch) + b"]", upload.total + len(batch)
        advance(upload, part.save, total=total, columns=columns, position=position, stored=stored)
        batch.clear()

    with tempfile.TemporaryFile() as file:
        for start in range(0, upload.size, PIECE):
            file.write(upload.parts.get(is_file=True, start=start).data)
        file.seek(0)
        for position, row in _rows(file, model, columns, upload.position, notes):  # noqa: B007  # `keep` has it
            batch.append(orjson.dumps(list(row)))
            stored += len(batch[-1])
            if len(columns) > MAX_COLUMNS or len("".join(columns)) > MAX_COLUMNS * MAX_NAME:
                raise BadFile(f"it has more than {MAX_COLUMNS} columns, or very long names of columns", row.line)
            if stored > MAX_UNPACKED or upload.total + len(batch) > MAX_ROWS:
                raise BadFile(f"it has more than {MAX_ROWS} rows, or far too much text: make two files of it", row.line)
            if len(batch) == BATCH or stored - upload.stored > BATCH_SIZE:
                keep()
                if time.monotonic() > until:
                    return
    if batch:
        keep()
    if not upload.total:
        raise BadFile("it has no rows below the names of its columns")
    known = Upload.objects.filter(entity=upload.entity, columns=columns).exclude(mapping={}).order_by("-guid").first()
    mapping = known.mapping if known else guess(model, columns)
    advance(upload, upload.parts.filter(is_file=True).delete, stage=Stage.COLUMNS, mapping=mapping, notes=notes)


def _rows(
    file: Any, model: type[Entity], columns: list[str], start: Any, notes: list[str]
) -> Iterator[tuple[Any, Row]]:
    """The rows of the file from the position `start` on, each with the position after it. Adds to the columns as it
    meets them, and at the end to the notes."""
    begin = file.read(4)
    file.seek(0)
    if begin.startswith(OLE):
        raise BadFile("it is an Excel file of the old kind (.xls), or has a password: save it as .xlsx without one")
    if begin.startswith(ZIP):
        sheet = Sheet(file)
        yield from _below_header(sheet.rows(start or None), model, columns)
        if sheet.others:
            notes.append(f"Only the first sheet was read, “{sheet.name}”; not {', '.join(sheet.others)}.")
        if sheet.merged:
            some = ", ".join(sheet.merged[:10])
            notes.append(f"Of merged cells only the first has the value, the others are empty: {some}.")
        return
    source = Source(file, MAX_UNPACKED)
    if (kind := detect(source, model)) == "csv":
        counted = ((line, cells, number) for number, (line, cells) in enumerate(records(source), start=1))
        yield from _below_header(islice(counted, start, None), model, columns)
        return
    items = json_rows(source, model) if kind == "json" else ndjson_rows(source)
    for number, item in enumerate(islice(items, start, None), start=start + 1):
        row = _object(item)
        columns += [name for name in row.cells if name not in columns]
        yield number, row


def _below_header(rows: Iterator[Any], model: type[Entity], columns: list[str]) -> Iterator[tuple[Any, Row]]:
    """The rows of a table, whose header gives the columns unless they are known; without empty ones and a title."""
    for line, cells, position in rows:
        filled = [cell for cell in cells if cell not in (None, "")]
        if columns and filled:
            beyond = any(cell not in (None, "") for cell in cells[len(columns) :])
            fault = f"The header has {len(columns)} columns, this row {len(cells)}" if beyond else None
            pairs = zip(columns, cells, strict=False)
            yield position, Row(line, {column: cell for column, cell in pairs if cell not in (None, "")}, fault)
        elif len(filled) > 1 or guess(model, list(map(text_of, filled))):
            for place, cell in enumerate(cells, start=1):
                name, letter = text_of(cell).strip().replace("\0", ""), get_column_letter(place)
                columns.append(name if name and name not in columns else f"{name or 'Column'} ({letter})")


def _object(row: FileRow) -> Row:
    with suppress(orjson.JSONDecodeError):
        if isinstance(found := orjson.loads(row.raw), dict):
            return Row(row.line, {name.replace("\0", ""): value for name, value in found.items()})
    return Row(row.line, {}, "This is no object in JSON")


# --- Checking and importing ---------------------------------------------------------------------


def _submit(upload: Upload, until: float) -> None:
    """Checks, or imports, batch by batch. Raises what the Importer raises."""
    importer = _UploadImporter(upload)
    while upload.rows < upload.total:
        importer.add(importer.next_items())
        if time.monotonic() > until:
            break
    if upload.rows == upload.total:
        advance(upload, stage=Stage.CHECKED if upload.stage == Stage.CHECKING else Stage.DONE)


class _UploadImporter(Importer):
    def __init__(self, upload: Upload) -> None:
        model = LEVELS_BY_PLURAL[upload.entity]
        super().__init__(model, upload, dry_run=upload.stage == Stage.CHECKING, match=model in MATCHED_BY)
        fields = fields_of(model)
        self.fields = {column: fields[name] for column, name in upload.mapping.items()}
        self.lines: dict[str, int] = {}  # by what no two rows may have in common, the one that has it
        for keys in upload.batches.filter(start__lte=upload.rows).values_list("keys", flat=True):
            self.lines |= orjson.loads(keys)

    def next_items(self) -> list[FileRow]:
        """What is not done of the batch that comes next."""
        self.part = self.progress.batches.filter(start__lte=self.progress.rows).latest("start")
        self.keys: dict[str, int] = {}  # those of this batch
        self.reasons: list[dict[str, str]] = []  # by row and field, why cells can't be used
        items = [self._item(Row(*row)) for row in orjson.loads(self.part.data)]
        return items[self.progress.rows - self.part.start :]

    def _item(self, row: Row) -> FileRow:
        item: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        self.reasons.append(reasons)
        if row.fault:
            return FileRow(row.line, b"", Fault((), row.fault, "row_invalid"))
        for column, cell in row.cells.items():
            if field := self.fields.get(column):
                try:
                    item[field.attname] = value_of(cell, field)
                except Unusable as error:
                    reasons[field.attname] = str(error)
        for name, key in _keys(self.model, item).items():
            digest = hashlib.blake2b(f"{name} {key}".encode(), digest_size=8).hexdigest()
            self.keys[digest] = first = self.lines.setdefault(digest, row.line)
            if first != row.line:
                reasons[name] = f"Row {first} has the same {in_words(name).lower()}"
        # No field takes an object: so this fault is where it belongs, and all others of the row are found, too.
        return FileRow(row.line, orjson.dumps(item | {name: {} for name in reasons}))

    def note(self) -> dict[str, Any]:
        """Keeps the faults with the batch, and how many there are of each kind with the upload."""
        counts = {(field, kind): [number, fault] for field, kind, number, fault in self.progress.reasons}
        faults = orjson.loads(UploadPart.objects.values_list("faults", flat=True).get(pk=self.part.pk))
        for faulty in self.faulty:
            place, told = self.progress.rows - self.part.start + faulty.place, []
            for field, fault in faulty.faults:
                if reason := self.reasons[place].get(str(field)):
                    fault = replace(fault, msg=reason, type="cell")
                told.append(fault.as_record() | {"field": field or "the_whole_row"})
                counts.setdefault((told[-1]["field"], fault.type), [0, told[-1]])[0] += 1
            faults.append([place, told])
        UploadPart.objects.filter(pk=self.part.pk).update(faults=orjson.dumps(faults), keys=orjson.dumps(self.keys))
        return {"reasons": [[*kind, *count] for kind, count in counts.items()]}


def _keys(model: type[Entity], item: dict[str, Any]) -> dict[str, str]:
    """What no two rows of a file may have in common, by the field that says it."""
    keys = {"guid": str(item["guid"]).lower()} if item.get("guid") else {}
    if model in MATCHED_BY and (model is Piece or not keys) and item.get("is_active") is not False:
        name, within = MATCHED_BY[model]
        keys[name] = f"{item.get(within)} {item.get(name)}"
    return keys
