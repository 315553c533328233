"""Uploads: the list, the page of one from its columns to its receipt, and what takes it on."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from pieces.admin.exporting import download
from pieces.formulas import unescaped
from pieces.models import LEVELS_BY_PLURAL
from pieces.receipts import SyncRun
from sync.admin.plain_words import in_plain_words
from sync.admin.runs import did, rows_of, when
from sync.files.tables import NULL, fields_of, in_words, problems
from sync.files.uploads import BATCH, MAX_FILE, Row, advance, begin, go_on, store, text_of
from sync.models import Overtaken, Upload
from tenants.admin.staff import StaffAdmin, at, caller_of
from tenants.caller import Capability
from tenants.scope import current_scope

SECONDS = 5  # that a request works
SAMPLE = 10  # rows that are shown to choose the columns by
PER_PAGE = 100  # refused rows
Stage = Upload.Stage


@admin.register(Upload)
class UploadAdmin(StaffAdmin):
    list_display = ("name", "entity", "state", "by", when)
    list_before_template = "sync/upload_new.html"
    ordering = ("-guid",)

    @at("new/", Capability.SYNC)
    def new(self, request: HttpRequest) -> HttpResponse:
        company, entity, file = current_scope().company, request.POST.get("entity", ""), request.FILES.get("file")
        if company is None:
            wrong = "Pick the company beside the search box first."
        elif file is None or entity not in LEVELS_BY_PLURAL:
            wrong = "Choose a file, and what its rows are."
        elif not file.size:
            wrong = "The file is empty."
        elif file.size > MAX_FILE:
            wrong = f"The file is larger than {MAX_FILE // 2**20} MiB. Make two of it, or pack it: .csv.gz will do."
        else:
            upload = store(file, entity=entity, company=company, actor=caller_of(request).actor)
            return redirect("admin:sync_upload_change", upload.guid)
        self.message_user(request, wrong, messages.ERROR)
        return redirect("admin:sync_upload_changelist")

    @method_decorator(require_safe)
    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        upload = self.get_object(request, object_id)
        context: dict[str, Any] = {"upload": upload}
        if upload.stage == Stage.COLUMNS:
            context |= columns_of(upload)
        elif upload.stage in (Stage.CHECKED, Stage.DONE):
            start = request.GET.get("from", "")
            refused = list(islice(refused_rows(upload, int(start) if start.isdecimal() else 0), PER_PAGE + 1))
            kinds = sorted((count, in_words(field), in_plain_words(one)) for field, _, count, one in upload.reasons)
            context |= {"kinds": kinds[::-1], "refused": refused[:PER_PAGE], "more": refused[PER_PAGE:]}
            runs = SyncRun.objects.filter(company=upload.company_guid, request_id=str(upload.guid)).order_by("guid")
            context["counts"] = rows_of(upload)
            context["runs"] = [(run, did(run)) for run in runs.defer("errors_json", "ignored_json")]
        return self.page(request, "sync/upload.html", title=f"Upload of {upload.name}", **context)

    @at("<uuid:guid>/go-on/", Capability.SYNC)
    def go_on(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """Works for some seconds; a script asks for this again and again."""
        upload = self.get_object(request, str(guid))
        if request.method == "POST":
            go_on(upload, time.monotonic() + SECONDS)
        if request.accepts("text/html"):
            return redirect("admin:sync_upload_change", guid)
        return JsonResponse({"stage": upload.stage, "state": upload.state, "done": upload.rows})

    @at("<uuid:guid>/decide/", Capability.SYNC)
    def decide(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """What a person has to say: which column is which field, and whether to import."""
        upload, said = self.get_object(request, str(guid)), request.POST.get("decision")
        model = LEVELS_BY_PLURAL[upload.entity]
        try:
            if (said, upload.stage) == ("check", Stage.COLUMNS):
                chosen = zip(upload.columns, request.POST.getlist("field"), strict=False)
                mapping = {column: field for column, field in chosen if field in fields_of(model)}
                advance(upload, mapping=mapping)
                if not problems(model, mapping):
                    begin(upload, Stage.CHECKING)
            elif (said, upload.stage) == ("columns", Stage.CHECKED):
                advance(upload, stage=Stage.COLUMNS)
            elif (said, upload.stage) == ("import", Stage.CHECKED):
                begin(upload, Stage.IMPORTING, actor=caller_of(request).actor)
        except Overtaken:
            self.message_user(request, "Somebody else was quicker: look again.", messages.WARNING)
        return redirect("admin:sync_upload_change", guid)

    @at("<uuid:guid>/refused.<slug:kind>", Capability.SYNC)
    @method_decorator(require_safe)
    def refused(self, request: HttpRequest, guid: UUID, kind: str) -> HttpResponseBase:
        """The refused rows as a table, to be mended and uploaded again."""
        return download(f"refused-{guid}", kind, refused_table(self.get_object(request, str(guid))))


def columns_of(upload: Upload) -> dict[str, Any]:
    """For the template: the first rows, and of each column its name, its first values and its field."""
    model = LEVELS_BY_PLURAL[upload.entity]
    rows = [Row(*row) for row in orjson.loads(upload.batches.order_by("start")[0].data)[:SAMPLE]]
    texts = [[text_of(row.cells.get(column)) for row in rows] for column in upload.columns]
    columns = [
        (column, list(filter(None, values))[:3], upload.mapping.get(column))
        for column, values in zip(upload.columns, texts, strict=True)
    ]
    lines = zip([row.line for row in rows], zip(*texts, strict=True), strict=True)
    choices = [(name, in_words(name)) for name in fields_of(model)]
    return {"rows": lines, "columns": columns, "choices": choices, "problems": problems(model, upload.mapping)}


def refused_rows(upload: Upload, start: int = 0) -> Iterator[tuple[int, Row, list[tuple[str, str, str]]]]:
    """The rows from the place `start` on that were refused: place, row, and of each fault column, value and words."""
    columns = {field: column for column, field in upload.mapping.items()}
    parts = upload.batches.exclude(faults=b"[]").filter(start__gt=start - BATCH).order_by("start")
    for pk in list(parts.values_list("pk", flat=True)):
        part = parts.get(pk=pk)
        rows = [Row(*row) for row in orjson.loads(part.data)]
        for place, faults in orjson.loads(part.faults):
            told = []
            for fault in faults:
                column = columns.get(fault["field"], "")
                value = text_of(rows[place].cells.get(column))
                told.append((column or in_words(fault["field"]), value, in_plain_words(fault)))
            if part.start + place >= start:
                yield part.start + place, rows[place], told


def refused_table(upload: Upload) -> Iterator[list[list[str | int | None]]]:
    """As `WRITERS` take it: the refused rows as they were, and in a last column what is wrong."""
    yield [[*upload.columns, "What is wrong"]]
    for _, row, faults in refused_rows(upload):
        cells = [row.cells.get(column, "") for column in upload.columns]
        told = "; ".join(f"{column}: {said}" for column, _, said in faults)
        yield [[*(NULL if cell is None else unescaped(text_of(cell)) for cell in cells), f"Row {row.line}: {told}"]]
