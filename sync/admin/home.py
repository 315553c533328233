"""The home page: the search box, and what may need a look: refused syncs, the trash, orders in motion."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from pieces.admin.history import note_names
from pieces.models import Deletion, Project
from pieces.receipts import RunStatus, SyncRun, first_guid
from sync.admin.runs import note_callers, result, what
from tenants.scope import current_scope

ROWS = 6
DAYS = 7


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For the home page's template; a fixed number of queries."""
    recent = first_guid(timezone.now() - timedelta(days=DAYS))
    runs = SyncRun.objects.filter(guid__gte=recent).defer(*SyncRun.LONG).order_by("-guid")
    refused, last = list(runs.filter(status=RunStatus.REJECTED)[:ROWS]), list(runs[:ROWS])
    note_callers([*refused, *last])
    deletions = list(Deletion.objects.filter(restored_at=None, purged_at=None).order_by("-guid")[:ROWS])
    note_names(deletions)
    # The projects changed last; over every company no index knows them, so by guid.
    order = ("-guid",) if current_scope().company is None else ("-updated_at", "-guid")
    projects = Project.objects.order_by(*order).values("guid", "code", "company_name", "due_date")
    return context | {
        "refused": [(run, what(run), result(run)) for run in refused],
        "runs": [(run, what(run), result(run)) for run in last],
        "deletions": deletions,
        "projects": list(projects[:ROWS]),
        "days": DAYS,
    }
