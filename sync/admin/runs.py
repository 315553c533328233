"""Sync runs: the list with its charts, and the page of one run with its faults."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter

from pieces.admin.linking import with_links
from pieces.admin.page import label_of
from pieces.models import LEVELS
from sync.admin.charts import charts_of
from sync.models import RunStatus, SyncRun, first_guid
from tenants.admin.staff import StaffAdmin, names_of
from tenants.templatetags.staff import badge, moment

PERIODS = {"": (7, "the last 7 days"), "1": (1, "the last day"), "30": (30, "the last 30 days"), "365": (365, "a year")}


class PeriodFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    """Always one: the other filters look at the runs of this period only."""

    title = "time"
    parameter_name = "days"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(value, label) for value, (_, label) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        days, _ = PERIODS.get(self.value() or "", PERIODS[""])
        return queryset.filter(guid__gte=first_guid(timezone.now() - timedelta(days=days)))


def by_choice(field: str, choices: Sequence[tuple[str, str]]) -> type[DropdownFilter]:
    """A filter by a field that has one of a few values, each with its label."""

    class ChoiceFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
        title = parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
            return choices

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    return ChoiceFilter


@admin.display(description="When")
def when(run: SyncRun) -> str:
    return moment(run.started_at)


@admin.display(description="Result")
def result(run: SyncRun) -> SafeString:
    if run.status == RunStatus.REJECTED:
        return badge(f"refused, {run.http_status}", "bad")
    return badge("dry run", "note") if run.dry_run else badge("done", "good")


@admin.display(description="Changed")
def changed(run: SyncRun) -> int:
    return run.updated - run.unchanged


@admin.display(description="Duration")
def duration(run: SyncRun) -> str:
    return f"{run.duration_ms} ms" if run.duration_ms < 10_000 else f"{run.duration_ms / 1000:.1f} s"


@admin.display(description="By")
def caller(run: Any) -> str:
    return str(run.actor_name)


@admin.register(SyncRun)
class SyncRunAdmin(StaffAdmin):
    list_display = (when, "entity", result, "received", "inserted", changed, "unchanged", duration, caller)
    list_display_links = (when,)
    list_filter = (
        PeriodFilter,
        by_choice("status", RunStatus.choices),
        by_choice("entity", [(level.plural, level.plural) for level in LEVELS]),
    )
    list_before_template = "sync/charts.html"
    ordering = ("-guid",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        runs: QuerySet[Any] = super().get_queryset(request).defer("errors_json", "ignored_json")
        return runs

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        note_callers(listed.result_list)
        return listed

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        charts = {"charts": charts_of(timezone.now())}
        response: HttpResponse = super().changelist_view(request, charts | (extra_context or {}))
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        try:
            run = SyncRun.objects.select_related("company").filter(guid=uuid.UUID(object_id)).first()
        except ValueError:
            run = None
        if run is None:
            raise Http404
        note_callers([run])
        faults = faults_of(run)
        context = {"run": run, "result": result(run), "duration": duration(run), "faults": faults}
        context |= {"groups": grouped(faults), "ignored": orjson.loads(run.ignored_json)}
        return self.page(request, "sync/run.html", title=f"Sync of {run.entity}", **context)


def note_callers(runs: Sequence[Any]) -> None:
    names = names_of(run.actor for run in runs)
    for run in runs:
        run.actor_name = names.get(run.actor, run.actor)


@dataclass(frozen=True, slots=True)
class ShownFault:
    """One fault: in which item, counted from 1, in which field, and what is wrong; `msg` is HTML."""

    item: int | None
    field: str
    msg: SafeString
    type: str


def faults_of(run: SyncRun) -> list[ShownFault]:
    """What the receipt lists."""
    level = next(level for level in LEVELS if level.plural == run.entity)
    labels = {field.attname: label_of(field) for field in level.wire_fields()}
    faults = []
    for fault in orjson.loads(run.errors_json):
        where = [part for part in fault["loc"] if part not in ("body", "query", run.entity)]
        item = next((part + 1 for part in where if isinstance(part, int)), None)
        name = next((part for part in where if isinstance(part, str)), None)
        field = "the whole request" if name is None else labels.get(name, name)
        faults.append(ShownFault(item, field, with_links(fault["msg"], fault.get("mentions", ())), fault["type"]))
    return faults


def grouped(faults: Sequence[ShownFault]) -> list[tuple[int, ShownFault]]:
    """How many faults of one type are in one field, and the first of them; the most frequent ones come first."""
    groups: dict[tuple[str, str], list[ShownFault]] = {}
    for fault in faults:
        groups.setdefault((fault.field, fault.type), []).append(fault)
    return sorted(((len(group), group[0]) for group in groups.values()), key=lambda one: -one[0])
