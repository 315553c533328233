"""Sync runs: the list with its charts, and the page of one run with its faults."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from pieces.admin.filters import by_choice
from pieces.admin.page import label_of
from pieces.models import LEVELS
from pieces.templatetags.entities import with_links
from sync.admin.charts import charts_of
from sync.models import RunStatus, SyncRun, first_guid
from tenants.admin.staff import StaffAdmin, names_of
from tenants.templatetags.staff import badge, moment


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
ENTITIES = {"": ("All", Q())} | {level.plural: (level.plural, Q(entity=level.plural)) for level in LEVELS}


def when(run: SyncRun) -> str:
    return moment(run.started_at)


def result(run: SyncRun) -> SafeString:
    if run.status == RunStatus.REJECTED:
        return badge(f"refused, {run.http_status}", "bad")
    return badge("dry run", "note") if run.dry_run else badge("done", "good")


def changed(run: SyncRun) -> int:
    return run.updated - run.unchanged


def duration(run: SyncRun) -> str:
    return f"{run.duration_ms} ms" if run.duration_ms < 10_000 else f"{run.duration_ms / 1000:.1f} s"


def by(run: Any) -> str:
    return str(run.actor_name)


@admin.register(SyncRun)
class SyncRunAdmin(StaffAdmin):
    list_display = (when, "entity", result, "received", "inserted", changed, "unchanged", duration, by)
    list_display_links = (when,)
    list_filter = (
        by_choice("days", "time", PERIODS),
        by_choice("status", "status", STATUSES),
        by_choice("entity", "entity", ENTITIES),
    )
    list_before_template = "sync/charts.html"
    ordering = ("-guid",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without what may be long."""
        return SyncRun.objects.defer("errors_json", "ignored_json")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With what the page shows beside the rows: who sent them, and the charts."""
        listed = super().get_changelist_instance(request)
        note_callers(listed.result_list)
        listed.charts = charts_of(timezone.now())
        return listed

    @method_decorator(require_safe)
    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        run = self.get_object(request, object_id)
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


def faults_of(run: SyncRun) -> list[dict[str, Any]]:
    """The faults that the receipt lists, each with its item, counted from 1, and field by name; `msg` is HTML."""
    level = next(level for level in LEVELS if level.plural == run.entity)
    labels = {field.attname: label_of(field) for field in level.wire_fields()}
    faults = []
    for fault in orjson.loads(run.errors_json):
        where = [part for part in fault["loc"] if part not in ("body", "query", run.entity)]
        item = next((part + 1 for part in where if isinstance(part, int)), None)
        name = next((part for part in where if isinstance(part, str)), None)
        field = "the whole request" if name is None else labels.get(name, name)
        msg = with_links(fault["msg"], fault.get("mentions", ()))
        faults.append({"item": item, "field": field, "msg": msg, "type": fault["type"]})
    return faults


def grouped(faults: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """How many faults of one type are in one field, and the first of them; the most frequent ones come first."""
    counts = Counter((fault["field"], fault["type"]) for fault in faults)
    first = {(fault["field"], fault["type"]): fault for fault in reversed(faults)}
    return [(count, first[kind]) for kind, count in counts.most_common()]
