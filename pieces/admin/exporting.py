"""A list as a file for a spreadsheet: every row that its filters let through, in its order, as one moment has them. The
file goes out while the rows come in: neither is ever in memory as a whole."""

import csv
import html
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from contextvars import Context, copy_context
from datetime import datetime
from io import BytesIO
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from django.contrib.admin.utils import label_for_field, lookup_field
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.text import capfirst, slugify
from django.views.decorators.http import require_GET
from openpyxl import Workbook

from pieces.formulas import escaped
from pieces.models import INTERNAL
from pieces.querysets import streamed
from tenants.admin.staff import StaffAdmin, at

CHUNK = 500  # rows that are written at once
NOT_EXPORTED = INTERNAL | {"picture"}  # nor is what a list defers because it may be long
# In what a list shows: a time, as in ISO 8601; a button, which says nothing about the row; all other markup.
MARKUP = re.compile(r'<time datetime="([^"<>]*+)"[^<>]*+>[^<]*+</time>|<a class="button[^<>]*+>[^<]*+</a>|<[^<>]*+>')
SHEET = "xl/worksheets/sheet1.xml"
MAX_ROWS, MAX_BYTES = 2**20, 2**30  # of a sheet; Excel may not take a part of a ZIP file above 2 GiB
FULL = "Excel can hold no more rows than these. Use a filter of the list, or take CSV."
# What XML can't hold is _xHHHH_ in a sheet; then what looks like that must be, too.
NO_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")

Cell = str | int | None
Chunks = Iterator[list[list[Cell]]]  # of rows; the first row is that of the titles


class Exported(StaffAdmin):
    """A list with a menu to export it, for whoever may see it."""

    change_list_template = "pieces/exported_list.html"

    def note_rows(self, rows: Sequence[Any]) -> None:
        """Gives some rows of the list what its columns show and its query does not bring, such as names."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        self.note_rows(listed.result_list)
        return listed

    @at("export/<slug:columns>.<slug:kind>")
    @method_decorator(require_GET)
    def export(self, request: HttpRequest, columns: str, kind: str) -> Any:
        """The list that the query asks for, as "csv" or "xlsx"; the columns "shown", or "all" fields beside these."""
        listed = self.changelist_view(request)
        # No template: what is asked for is no filter, and the list would go on without it.
        if not isinstance(listed, TemplateResponse) or columns not in ("shown", "all"):
            raise Http404
        rows, shown = cast(Any, listed.context_data)["cl"].queryset, self.get_list_display(request)
        others = [field.attname for field in self.opts.concrete_fields] if columns == "all" else []
        deferred, _ = rows.query.deferred_loading
        fields = [name for name in others if name not in {*NOT_EXPORTED, *shown, *deferred}]
        name = f"{slugify(self.opts.verbose_name_plural)}-{timezone.now():%Y-%m-%d}"
        return download(name, kind, self.chunks(rows, shown, fields))

    def chunks(self, rows: Any, shown: Sequence[Any], fields: Sequence[str]) -> Chunks:
        yield [[capfirst(str(label_for_field(column, self.model, self))) for column in (*shown, *fields)]]
        with closing(streamed(rows)) as found:
            while chunk := list(islice(found, CHUNK)):
                self.note_rows(chunk)
                yield [
                    [plain(lookup_field(column, row, self)[2]) for column in shown]
                    + [plain(getattr(row, name)) for name in fields]
                    for row in chunk
                ]


def plain(value: Any) -> Cell:
    """A number, or a text without markup; times in ISO 8601."""
    if isinstance(value, SafeString):
        return html.unescape(MARKUP.sub(r"\1", value)).strip()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None or isinstance(value, int) else str(value)


def in_csv(chunks: Chunks) -> Generator[bytes]:
    """Begins with the mark by which Excel knows UTF-8. Formulas are escaped."""
    lines = ["\ufeff"]
    write = csv.writer(cast(Any, SimpleNamespace(write=lines.append))).writerows
    for chunk in chunks:
        write([escaped(cell) if isinstance(cell, str) else cell for cell in row] for row in chunk)
        yield "".join(lines).encode()
        lines.clear()


def in_xlsx(chunks: Chunks) -> Generator[bytes]:
    """openpyxl's empty workbook, into which the rows are packed while it goes out. Texts are never formulas."""
    empty, parts = BytesIO(), list[bytes]()
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.freeze_panes, sheet.sheet_format.defaultColWidth = "A2", 18
    book.save(empty)

    def write(part: bytes) -> int:
        parts.append(bytes(part))
        return len(part)

    pipe = cast(Any, SimpleNamespace(write=write, flush=lambda: None))
    with ZipFile(empty) as frame, ZipFile(pipe, "w", ZIP_DEFLATED, compresslevel=1) as packed:
        for name in frame.namelist():
            if name != SHEET:
                packed.writestr(name, frame.read(name))
        head, tail = frame.read(SHEET).split(b"</sheetData>")
        with packed.open(SHEET, "w") as target:
            rows, size = 0, target.write(head)
            for chunk in chunks:
                rows += len(chunk)
                size += target.write("".join(f"<row>{''.join(map(in_xml, row))}</row>" for row in chunk).encode())
                yield b"".join(parts)
                parts.clear()
                if rows + CHUNK >= MAX_ROWS or size > MAX_BYTES:
                    target.write(f"<row>{in_xml(FULL)}</row>".encode())
                    break
            target.write(b"</sheetData>" + tail)
    yield b"".join(parts)


def in_xml(cell: Cell) -> str:
    if cell is None or isinstance(cell, int):
        return "<c/>" if cell is None else f"<c><v>{cell}</v></c>"
    text = escape(NO_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", cell))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


WRITERS = {
    "csv": ("text/csv; charset=utf-8", in_csv),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", in_xlsx),
}


def download(name: str, kind: str, chunks: Chunks) -> StreamingHttpResponse:
    """The chunks as a file of this kind, "csv" or "xlsx". Raises Http404 for any other one."""
    if kind not in WRITERS:
        raise Http404
    content_type, write = WRITERS[kind]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return StreamingHttpResponse(in_context(copy_context(), write(chunks)), content_type=content_type, headers=headers)


def in_context(context: Context, parts: Generator[bytes]) -> Generator[bytes]:
    """The same parts, made in a request's context, though that ends before they go out: in its scope, and with its id
    in the log. Closed, as when the client has gone, it ends the query."""
    try:
        while (part := context.run(next, parts, None)) is not None:
            yield part
    finally:
        context.run(parts.close)
