"""The home page: the search box, and what may need a look: refused syncs, the trash, orders in motion."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from pieces.admin.linking import said
from pieces.admin.trash import note_names
from pieces.models import Deletion, Project
from sync.admin.periods import since
from sync.admin.runs import note_callers, result_of
from sync.models import RunStatus, SyncRun
from tenants.scope import current_scope

ROWS = 6
DAYS = 7


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For the home page's template; a fixed number of queries."""
    recent = since(timezone.now() - timedelta(days=DAYS))
    runs = SyncRun.objects.filter(guid__gte=recent).defer("errors_json", "ignored_json").order_by("-guid")
    refused = list(runs.filter(status=RunStatus.REJECTED)[:ROWS])
    last = list(runs[:ROWS])
    note_callers([*refused, *last])
    deletions = list(Deletion.objects.filter(restored_at=None, purged_at=None).order_by("-guid")[:ROWS])
    note_names(deletions)
    context.update(
        refused=[(run, result_of(run)) for run in refused],
        runs=[(run, said({run.entity: run.received}), result_of(run)) for run in last],
        deletions=deletions,
        projects=_projects(),
        days=DAYS,
    )
    return context


def _projects() -> list[dict[str, Any]]:
    """The ones changed last; over every company no index knows them, so by guid."""
    order = ("-guid",) if current_scope().company is None else ("-updated_at", "-guid")
    return list(Project.objects.order_by(*order).values("guid", "code", "company_name", "due_date")[:ROWS])
