"""The admin of keys, with what the receipts know: when each key last synced."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Max
from django.utils import timezone

from sync.admin.periods import since
from sync.models import SyncRun
from tenants.admin.keys import ApiKeyAdmin
from tenants.admin.shown import moment
from tenants.models import ApiKey

DAYS = 30  # that are looked at


@admin.register(ApiKey)
class SyncingKeyAdmin(ApiKeyAdmin):
    @admin.display(description="Last sync")
    def last_use(self, key: ApiKey) -> str:
        used: datetime | None = getattr(key, "last_used_at", None)
        return moment(used) if used else f"none in {DAYS} days"

    def last_uses(self, keys: Sequence[ApiKey]) -> dict[str, datetime]:
        actors = [key.as_caller().actor for key in keys]
        runs = SyncRun.objects.filter(guid__gte=since(timezone.now() - timedelta(days=DAYS)), actor__in=actors)
        rows: Any = runs.order_by().values_list("actor").annotate(Max("started_at"))
        return dict(rows)
