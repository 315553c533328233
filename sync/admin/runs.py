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
from django.utils.text import capfirst
from unfold.contrib.filters.admin import DropdownFilter

from pieces.admin.linking import with_links
from pieces.models import LEVELS, Entity
from sync.admin.charts import charts_of
from sync.admin.periods import since
from sync.models import RunStatus, SyncRun
from tenants.admin.actors import names_of
from tenants.admin.staff import StaffAdmin
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
        return queryset.filter(guid__gte=since(timezone.now() - timedelta(days=days)))


class StatusFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in RunStatus.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(status=self.value()) if self.value() else queryset


class EntityFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    title = "entity"
    parameter_name = "entity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(level.plural, level.plural) for level in LEVELS]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(entity=self.value()) if self.value() else queryset


@admin.register(SyncRun)
class SyncRunAdmin(StaffAdmin):
    list_display = ("when", "entity", "result", "received", "inserted", "changed", "unchanged", "took", "caller")
    list_display_links = ("when",)
    list_filter = (PeriodFilter, StatusFilter, EntityFilter)
    list_before_template = "sync/charts.html"
    ordering = ("-guid",)

    @admin.display(description="When")
    def when(self, run: SyncRun) -> str:
        return moment(run.started_at)

    @admin.display(description="Result")
    def result(self, run: SyncRun) -> SafeString:
        return result_of(run)

    @admin.display(description="Changed")
    def changed(self, run: SyncRun) -> int:
        return run.updated - run.unchanged

    @admin.display(description="Duration")
    def took(self, run: SyncRun) -> str:
        return duration_of(run)

    @admin.display(description="By")
    def caller(self, run: Any) -> str:
        return str(run.actor_name)

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
        context = {"run": run, "result": result_of(run), "duration": duration_of(run), "faults": faults_of(run)}
        return self.page(request, "sync/run.html", title=f"Sync of {run.entity}", ignored=ignored_of(run), **context)


def note_callers(runs: Sequence[Any]) -> None:
    names = names_of(run.actor for run in runs)
    for run in runs:
        run.actor_name = names.get(run.actor, run.actor)


def result_of(run: SyncRun) -> SafeString:
    if run.status == RunStatus.REJECTED:
        return badge(f"refused, {run.http_status}", "bad")
    return badge("dry run", "note") if run.dry_run else badge("done", "good")


def duration_of(run: SyncRun) -> str:
    return f"{run.duration_ms} ms" if run.duration_ms < 10_000 else f"{run.duration_ms / 1000:.1f} s"


def ignored_of(run: SyncRun) -> list[str]:
    return list(orjson.loads(run.ignored_json))


@dataclass(frozen=True, slots=True)
class Wrong:
    """One fault: in which item, counted from 1, in which field, and what is wrong; `msg` is HTML."""

    item: int | None
    field: str
    msg: SafeString
    type: str


@dataclass(frozen=True, slots=True)
class Kindred:
    """Faults of one type in one field: how many items have it, and the first one's message."""

    field: str
    type: str
    count: int
    example: SafeString


@dataclass(frozen=True, slots=True)
class Faults:
    listed: Sequence[Wrong]
    kindred: Sequence[Kindred]


def faults_of(run: SyncRun) -> Faults:
    """What the receipt lists, one by one and summed up."""
    listed = [_wrong(run.entity, fault) for fault in orjson.loads(run.errors_json)]
    groups: dict[tuple[str, str], list[Wrong]] = {}
    for wrong in listed:
        groups.setdefault((wrong.field, wrong.type), []).append(wrong)
    kindred = [Kindred(*key, len(wrongs), wrongs[0].msg) for key, wrongs in groups.items()]
    return Faults(listed, sorted(kindred, key=lambda one: -one.count))


def _wrong(plural: str, fault: dict[str, Any]) -> Wrong:
    where = [part for part in fault["loc"] if part not in ("body", "query", plural)]
    index = next((part for part in where if isinstance(part, int)), None)
    names = [str(part) for part in where if not isinstance(part, int)]
    return Wrong(
        None if index is None else index + 1,
        _label(plural, names[0]) if names else "the whole request",
        with_links(fault["msg"]),
        fault["type"],
    )


def _label(plural: str, name: str) -> str:
    fields: dict[str, type[Entity]] = {level.plural: level for level in LEVELS}
    known = (
        {field.attname: str(field.verbose_name) for field in fields[plural].wire_fields()} if plural in fields else {}
    )
    return capfirst(known[name]) if name in known else name
