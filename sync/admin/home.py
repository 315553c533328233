"""The home page: what the last 24 hours brought, and what may need a look."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone

from pieces.admin.history import note_names
from pieces.models import Deletion, Kind, Project
from pieces.receipts import BROUGHT_DATA, SyncRun, first_guid
from sync.admin.runs import REJECTED, faults_of, note_callers, result, what
from tenants.admin.staff import may
from tenants.caller import Capability
from tenants.models import ApiKey, Company
from tenants.scope import current_scope, of_company

ROWS = 6
DAYS = 7
KEY_DAYS = 30  # before the end of a key that is told of
OF_PIECES = Q(entity="pieces", dry_run=False)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For the home page's template; a fixed number of queries, none of which counts pieces."""
    now, several = timezone.now(), current_scope().company is None
    recent = SyncRun.objects.filter(guid__gte=first_guid(now - timedelta(days=DAYS)))
    runs = recent.select_related("company").order_by("-guid")
    refused, last = list(runs.filter(REJECTED)[:ROWS]), list(runs.defer(*SyncRun.LONG)[:ROWS])
    note_callers([*refused, *last])
    deletions = Deletion.objects.filter(restored_at=None, purged_at=None).select_related("company").order_by("-guid")
    shown = list(deletions[:ROWS]) if may(request, Capability.DELETE) else []
    note_names(shown)
    # The projects changed last; over every company no index knows them, so by guid.
    order = ("-guid",) if several else ("-updated_at", "-guid")
    return context | {
        "today": today(now - timedelta(days=1)),
        "companies": companies_by_last_sync(now),
        "refused": [(run, what(run), faults_of(run, run.fault_kinds_json)[:1]) for run in refused],
        "runs": [(run, what(run), result(run)) for run in last],
        "deletions": shown,
        "projects": Project.objects.select_related("company").order_by(*order)[:ROWS],
        "keys": keys_to_look_after(now) if may(request, Capability.MANAGE) else (),
        "days": DAYS,
        "several": several,
    }


def today(since: datetime) -> dict[str, int]:
    """By the receipts since then, how many pieces came, changed and went, and how many syncs were refused."""
    changed = F("updated") - F("unchanged") - F("restored") - F("deleted")
    sums = {"came": Sum("inserted", filter=OF_PIECES), "changed": Sum(changed, filter=OF_PIECES)}
    runs = SyncRun.objects.filter(guid__gte=first_guid(since)).aggregate(**sums, refused=Count("guid", filter=REJECTED))
    gone = {"below": Sum("pieces"), "alone": Sum("roots", filter=Q(kind=Kind.PIECE))}
    # What a restore in part leaves is a deletion of today, of what went when it went.
    went = Deletion.objects.filter(guid__gte=first_guid(since), created_at__gte=since).aggregate(**gone)
    return {"deleted": sum(filter(None, went.values())), **{name: rows or 0 for name, rows in runs.items()}}


def companies_by_last_sync(now: datetime) -> list[Any]:
    """The company with the moment of its `last` sync that was not refused, and whether that is as `late` as it wants to
    know; of several companies those that are late. One look into an index for each."""
    syncs = SyncRun.objects.filter(BROUGHT_DATA, company=OuterRef("guid")).order_by("-guid").values("started_at")
    here = of_company(Company.objects.filter(is_active=True, moved_to=None))
    companies: list[Any] = list(here.annotate(last=Subquery(syncs[:1])).order_by("name"))
    for company in companies:
        hours = company.sync_alert_hours
        company.late = hours is not None and now - (company.last or company.created_at) > timedelta(hours=hours)
    return [company for company in companies if company.late or current_scope().company]


def keys_to_look_after(now: datetime) -> list[ApiKey]:
    """The keys that will soon end, and those that nobody has used yet: the first of them."""
    usable = Q(expires_at=None) | Q(expires_at__gt=now)
    keys = of_company(ApiKey.objects.filter(usable, is_active=True, revoked_at=None, replaced_by=None))
    odd = keys.filter(Q(expires_at__lte=now + timedelta(days=KEY_DAYS)) | Q(last_used_at=None))
    return list(odd.select_related("company").order_by(F("expires_at").asc(nulls_last=True), "guid")[:ROWS])
