"""Runs: the list with its charts, the page of one with its faults or with what it did, and taking it back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from json import dumps as to_json
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods, require_safe
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.exporting import Exported
from pieces.admin.finding import by_choice
from pieces.admin.history import PER_PAGE, linked, runs_in_words, told
from pieces.admin.page import label_of
from pieces.history import read_acts
from pieces.models import LEVELS, LEVELS_BY_PLURAL, Act, Operation
from pieces.names import found_by_guid, operation_in_words, run_in_words
from pieces.receipts import RunStatus, SyncRun, first_guid
from pieces.templatetags.entities import with_links
from ractory.api.errors import Conflict, ConflictRetry, Gone
from ractory.api.paging import encode_cursor
from sync.admin.plain_words import in_plain_words
from sync.runs import RunChangesQuery
from sync.undo import undo
from tenants.admin.staff import at, caller_of, may, names_of
from tenants.caller import Capability
from tenants.templatetags.staff import badge, moment

DAYS = 14
REJECTED = Q(status=RunStatus.REJECTED)
# The series of each chart, by its title: what is summed up, and its colour.
CHARTS: dict[str, dict[str, tuple[Any, str]]] = {
    "Rows per day": {
        "inserted": (Sum("inserted"), "#16a34a"),
        "changed": (Sum(F("updated") - F("unchanged")), "var(--color-primary-600)"),
        "unchanged": (Sum("unchanged"), "#cbd5e1"),
    },
    "Faults and refused syncs per day": {
        "faults": (Sum("fault_count"), "#dc2626"),
        "refused": (Count("guid", filter=REJECTED), "#f59e0b"),
    },
}
STACKED = {"Rows per day"}
AXES = {
    "x": {"grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkip": True}},
    "y": {"beginAtZero": True, "ticks": {"precision": 0}, "grid": {"color": "rgba(128, 128, 128, 0.2)"}},
}
LEGEND = {"align": "end", "position": "top", "labels": {"boxWidth": 10, "boxHeight": 10}}


def last(days: int) -> Q:
    return Q(guid__gte=first_guid(timezone.now() - timedelta(days=days)))


# One is always chosen: the other filters look at the runs of this period only.
PERIODS = {
    "": ("the last 7 days", partial(last, 7)),
    "1": ("the last day", partial(last, 1)),
    "30": ("the last 30 days", partial(last, 30)),
    "365": ("a year", partial(last, 365)),
}
STATUSES = {"": ("All", Q())} | {value: (label, Q(status=value)) for value, label in RunStatus.choices}
OPERATIONS = {"": ("All", Q())} | {value: (operation_in_words(value), Q(operation=value)) for value in Operation.values}
ENTITIES = {"": ("All", Q())} | {level.plural: (level.plural, Q(entity=level.plural)) for level in LEVELS}


def when(run: SyncRun) -> str:
    return moment(run.started_at)


def what(run: SyncRun) -> str:
    return str(capfirst(run_in_words(run)))


def result(run: SyncRun) -> SafeString:
    if run.status == RunStatus.REJECTED:
        return badge(f"refused, {run.http_status}", "bad")
    return badge("dry run", "note") if run.dry_run else badge("done", "good")


def rows_of(run: SyncRun) -> dict[str, int]:
    """What became of the run's rows, each counted once."""
    changed = run.updated - run.unchanged - run.restored - run.deleted
    counts = {"inserted": run.inserted, "changed": changed, "restored": run.restored, "deleted": run.deleted}
    return counts | {"unchanged": run.unchanged}


def did(run: SyncRun) -> str:
    return rows_in_words(rows_of(run))


def rows_in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{rows} {what}" for what, rows in counts.items() if rows) or "nothing"


def duration(run: SyncRun) -> str:
    return f"{run.duration_ms} ms" if run.duration_ms < 10_000 else f"{run.duration_ms / 1000:.1f} s"


def by(run: Any) -> str:
    return str(run.actor_name)


@admin.register(SyncRun)
class SyncRunAdmin(Exported):
    list_display = (when, what, result, did, duration, by)
    list_display_links = (when,)
    list_filter = (
        by_choice("days", "time", PERIODS),
        by_choice("operation", "operation", OPERATIONS),
        by_choice("status", "status", STATUSES),
        by_choice("entity", "entity", ENTITIES),
    )
    list_before_template = "sync/charts.html"
    ordering = ("-guid",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without what may be long."""
        return SyncRun.objects.defer(*SyncRun.LONG)

    def note_rows(self, rows: Sequence[Any]) -> None:
        note_callers(rows)

    def charts(self) -> Any:
        """For the list's template, which alone asks for them."""
        return charts_of(timezone.now())

    @method_decorator(require_safe)
    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        run = self.get_object(request, object_id)
        note_callers([run])
        faults, kinds = faults_of(run, run.errors_json), faults_of(run, run.fault_kinds_json)
        context = {"run": run, "result": result(run), "duration": duration(run), "rows": rows_of(run), "faults": faults}
        context |= {"kinds": kinds, "summed": sum(kind["count"] for kind in kinds)}
        context |= {"ignored": orjson.loads(run.ignored_json), **what_it_wrote(run, request)}
        first = next(iter(context.get("changes", ())), {"entity": None})
        return self.page(request, "sync/run.html", title=capfirst(run_in_words(run, first["entity"])), **context)

    @at("<uuid:guid>/undo/", Capability.SYNC)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def undo(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """What taking the run back would do, by a dry run; posted, it is done, and the page of that undo follows."""
        run, caller = get_object_or_404(self.get_queryset(request), guid=guid), caller_of(request)
        skip = request.GET.get("conflicts") == "skip"
        origin = Origin(Operation.UNDO, caller.actor, run=uuid7())
        context: dict[str, Any] = {"run": run, "what": run_in_words(run), "skip": skip}
        try:
            undone = undo(run.guid, origin=origin, dry_run=request.method != "POST", skip=skip)
        except ConflictRetry:
            raise  # another try may do
        except Conflict as conflict:
            context |= {"conflict": conflict.detail, "conflicts": named(conflict.more.get("conflicts", ()))}
        else:
            counts = undone._asdict()
            context["preview"] = rows_in_words(counts | {"left as they are": counts.pop("skipped")})
            if request.method == "POST":
                self.message_user(request, f"Undone: {context['preview']}.", messages.SUCCESS)
                return redirect("admin:sync_syncrun_change", origin.run)
        return self.page(request, "sync/undo.html", title="Undo?", **context)


def what_it_wrote(run: SyncRun, request: HttpRequest) -> dict[str, Any]:
    """For the template: a page of what the run changed, which one it took back, and which one took it back or may."""
    acts = list(Act.objects.filter(run_guid=run.guid))
    undo = Act.objects.filter(undoes=run.guid).first()
    undoes = next((act.undoes for act in acts), None)
    runs = runs_in_words([undoes, undo and undo.run_guid])
    context = {"undoes": runs.get(undoes), "undone": undo and runs.get(undo.run_guid, "without a receipt")}
    page = replace(RunChangesQuery(request.GET).page(), limit=PER_PAGE)
    try:
        changes, last = read_acts([act.guid for act in acts], page) if acts else ([], None)
    except Gone as gone:
        return context | {"gone": gone.detail}
    may_undo = changes and not undo and may(request, Capability.SYNC)
    cursor = encode_cursor(page.keys, last) if last else None
    return context | {"changes": told(changes), "cursor": cursor, "may_undo": may_undo}


def named(conflicts: Sequence[Mapping[str, Any]]) -> list[tuple[str, SafeString | str, SafeString | str]]:
    """Of each row in conflict the kind, a link to it, and the run that wrote it; a fixed number of queries."""
    rows = [(LEVELS_BY_PLURAL[row["entity"]].kind.value, row["guid"], row["run_guid"]) for row in conflicts]
    found = found_by_guid((kind, guid) for kind, guid, _ in rows)
    runs = runs_in_words(run for _, _, run in rows)
    return [(kind, linked(guid, found), runs.get(run, "without a run")) for kind, guid, run in rows]


def note_callers(runs: Sequence[Any]) -> None:
    names = names_of(run.actor for run in runs)
    for run in runs:
        run.actor_name = names.get(run.actor, run.actor)


def faults_of(run: SyncRun, listed: str) -> list[dict[str, Any]]:
    """The faults that a receipt lists as JSON, each with its item, from 1 on, and its field by name; `msg` is HTML."""
    labels = {field.attname: label_of(field) for field in LEVELS_BY_PLURAL[run.entity].wire_fields()}
    faults, find = [], reverse("admin:pieces_piece_find")
    for fault in orjson.loads(listed):
        where = [part for part in fault["loc"] if part not in ("body", "query", run.entity)]
        number = next((part + 1 for part in where if isinstance(part, int)), None)
        name = next((part for part in where if isinstance(part, str)), None)
        field = "the whole request" if name is None else labels.get(name, name)
        # That of a line in a file says so, and the page says it beside.
        msg = in_plain_words(fault | {"msg": fault["msg"].removeprefix(f"Line {number}: ")})
        mentions = fault.get("mentions", ())
        msg = with_links(msg, {guid: format_html('<a href="{}?q={}">{}</a>', find, guid, guid) for guid in mentions})
        faults.append({"count": 1, "item": ""} | fault | {"number": number, "field": field, "msg": msg})
    return faults


def charts_of(now: datetime) -> Iterator[dict[str, str]]:
    """Of the last 14 days (UTC), in one query: for the template, data and options as JSON, and the sums in words."""
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    sums = {f"sum_{name}": summed for series in CHARTS.values() for name, (summed, _) in series.items()}
    runs = SyncRun.objects.filter(guid__gte=first_guid(first), dry_run=False).order_by()
    by_day = {row["day"]: row for row in runs.values(day=TruncDate("started_at")).annotate(**sums)}
    days = [first.date() + timedelta(days=n) for n in range(DAYS)]
    for title, series in CHARTS.items():
        values = {name: [int(by_day.get(day, {}).get(f"sum_{name}") or 0) for day in days] for name in series}
        datasets = [
            {"label": name, "data": values[name], "backgroundColor": colour, "borderRadius": 2}
            for name, (_, colour) in series.items()
        ]
        data = {"labels": [f"{day:%b} {day.day}" for day in days], "datasets": datasets}
        scales = {name: axis | {"stacked": title in STACKED} for name, axis in AXES.items()}
        options = {"maintainAspectRatio": False, "animation": False, "plugins": {"legend": LEGEND}, "scales": scales}
        total = ", ".join(f"{sum(numbers)} {name}" for name, numbers in values.items())
        yield {"title": title, "total": total, "data": to_json(data), "options": to_json(options)}
