"""An upload from its file to its rows: stored in pieces, read into batches, checked, imported, each a bit at a time.
What is done is written in one transaction with how far it has got. So whoever does it may be killed, and of two who do
it at once one is Overtaken and has done nothing (docs/decisions/0024)."""

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
from sync.files.importing import COUNTS, Importer, batches_of
from sync.files.reading import BadFile, FileRow, Source, detect, json_rows, ndjson_rows
from sync.files.spreadsheets import MAX_COLUMNS, Sheet
from sync.files.tables import Unusable, another_width, fields_of, guess, in_words, records, value_of
from sync.matching import MATCHED_BY
from sync.models import MAX_NAME, Overtaken, Upload, UploadPart
from tenants.scope import company_scope

MAX_FILE = 64 * 1024 * 1024  # bytes
MAX_UNPACKED = 1024 * 1024 * 1024  # bytes of what is in it
MAX_ROWS = 100_000
PIECE = 1024 * 1024  # bytes of a file in one row of the table
BATCH = 1000  # rows that go in together, if they are not too large
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
    Raises ConflictRetry, and what `submit` raises for a company that is closed; what was done before stays."""
    with company_scope(upload.company_guid):
        try:
            while upload.stage in Upload.WORKING:
                for _ in _read(upload) if upload.stage == Stage.READING else _submit(upload):
                    if time.monotonic() > until:
                        return
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


def _read(upload: Upload) -> Iterator[None]:
    """Makes batches of the rows that come next; after the last one the file is done with."""
    with tempfile.TemporaryFile() as file:
        for start in range(0, upload.size, PIECE):
            file.write(upload.parts.get(is_file=True, start=start).data)
        file.seek(0)
        for batch in batches_of(_rows(upload, file), BATCH):
            part = UploadPart(upload=upload, company_guid=upload.company_guid, start=upload.total)
            part.data = b"[" + b",".join([row.raw for row in batch]) + b"]"
            values = {"total": upload.total + len(batch), "stored": upload.stored + len(part.data)}
            if values["total"] > MAX_ROWS or values["stored"] > MAX_UNPACKED:
                raise BadFile(f"it has more than {MAX_ROWS} rows, or far too much text: make two files of it")
            advance(upload, part.save, **values, columns=upload.columns, position=upload.position)
            yield
    if not upload.total:
        raise BadFile("it has no rows below the names of its columns")
    others = Upload.objects.filter(entity=upload.entity, columns=upload.columns).exclude(mapping={})
    known = others.order_by("-guid").values_list("mapping", flat=True).first()
    mapping = known or guess(LEVELS_BY_PLURAL[upload.entity], upload.columns)
    drop_file = upload.parts.filter(is_file=True).delete
    advance(upload, drop_file, stage=Stage.COLUMNS, mapping=mapping, notes=upload.notes)


def _rows(upload: Upload, file: Any) -> Iterator[FileRow]:
    """The rows of the file, as they are stored, from the upload's position on, which goes on with each. Adds to its
    columns as it meets them, and at the end to its notes."""
    model, columns, done = LEVELS_BY_PLURAL[upload.entity], upload.columns, upload.position
    begin, sheet = file.read(4), None
    file.seek(0)
    if begin.startswith(OLE):
        raise BadFile("it is an Excel file of the old kind (.xls), or has a password: save it as .xlsx without one")
    if begin.startswith(ZIP):
        sheet = Sheet(file)
        rows = _below_header(sheet.rows(done or None), model, columns)
    elif (kind := detect(source := Source(file, MAX_UNPACKED), model)) == "csv":
        found = records(source, has_title=True)
        counted = ((line, cells, number) for number, (line, cells) in enumerate(found, start=1))
        rows = _below_header(islice(counted, done, None), model, columns)
    else:
        items = json_rows(source, model) if kind == "json" else ndjson_rows(source)
        rows = _objects(islice(enumerate(items, start=1), done, None), columns)
    for position, row in rows:
        upload.position = position
        if len(columns) > MAX_COLUMNS or len("".join(columns)) > MAX_COLUMNS * MAX_NAME:
            raise BadFile(f"it has more than {MAX_COLUMNS} columns, or very long names of columns", row.line)
        yield FileRow(row.line, orjson.dumps(list(row)))
    if sheet and sheet.others:
        upload.notes.append(f"Only the first sheet was read, “{sheet.name}”; not {', '.join(sheet.others)}.")
    if sheet and sheet.merged:
        some = ", ".join(sheet.merged[:10])
        upload.notes.append(f"Of merged cells only the first has the value, the others are empty: {some}.")


def _below_header(rows: Iterator[Any], model: type[Entity], columns: list[str]) -> Iterator[tuple[Any, Row]]:
    """The rows of a table, whose header gives the columns unless they are known; without empty ones and a title."""
    for line, cells, position in rows:
        filled = [cell for cell in cells if cell not in (None, "")]
        if columns and filled:
            beyond = any(cell not in (None, "") for cell in cells[len(columns) :])
            fault = another_width(columns, cells) if beyond else None
            pairs = zip(columns, cells, strict=False)
            yield position, Row(line, {column: cell for column, cell in pairs if cell not in (None, "")}, fault)
        elif len(filled) > 1 or guess(model, list(map(text_of, filled))):
            for place, cell in enumerate(cells, start=1):
                name, letter = text_of(cell).strip().replace("\0", ""), get_column_letter(place)
                columns.append(name if name and name not in columns else f"{name or 'Column'} ({letter})")


def _objects(items: Iterator[tuple[int, FileRow]], columns: list[str]) -> Iterator[tuple[Any, Row]]:
    for number, item in items:
        row = Row(item.line, {}, "This is no object in JSON")
        with suppress(orjson.JSONDecodeError):
            if isinstance(found := orjson.loads(item.raw), dict):
                row = Row(item.line, {name.replace("\0", ""): value for name, value in found.items()})
        columns += [name for name in row.cells if name not in columns]
        yield number, row


# --- Checking and importing ---------------------------------------------------------------------


def _submit(upload: Upload) -> Iterator[None]:
    """Checks, or imports, batch by batch. Raises what the Importer raises."""
    importer = _UploadImporter(upload)
    while upload.rows < upload.total:
        importer.add(importer.next_items())
        yield
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
