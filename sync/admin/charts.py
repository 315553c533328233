"""Rows and faults per day, for unfold's charts (Chart.js, which the theme ships)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from sync.admin.periods import since
from sync.models import RunStatus, SyncRun

DAYS = 14
ROWS = {"inserted": "#16a34a", "changed": "var(--color-primary-600)", "unchanged": "#cbd5e1"}
TROUBLE = {"faults": "#dc2626", "refused": "#f59e0b"}
GRID = {"color": "rgba(128, 128, 128, 0.2)"}
AXES = {
    "x": {"grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkip": True}},
    "y": {"beginAtZero": True, "ticks": {"precision": 0}, "grid": GRID},
}
LEGEND = {"align": "end", "position": "top", "labels": {"boxWidth": 10, "boxHeight": 10}}


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    data: str  # JSON
    total: str  # for who can't see it
    options: str  # JSON, Chart.js's


def charts_of(now: datetime) -> list[Chart]:
    """Of the scope's runs in the last 14 days (UTC), in one query over the range of their guids."""
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    by_day = {row["day"]: row for row in _per_day(SyncRun.objects.filter(guid__gte=since(first), dry_run=False))}
    days = [first.date() + timedelta(days=n) for n in range(DAYS)]
    return [
        _chart("Rows per day", ROWS, days, by_day, stacked=True),
        _chart("Faults and refused syncs per day", TROUBLE, days, by_day, stacked=False),
    ]


def _per_day(runs: "QuerySet[Any]") -> Iterable[dict[str, Any]]:
    rejected = Q(status=RunStatus.REJECTED)
    rows: Iterable[dict[str, Any]] = (
        runs.order_by()
        .annotate(day=TruncDate("started_at"))
        .values("day")
        .annotate(
            sum_inserted=Sum("inserted"),
            sum_changed=Sum(F("updated") - F("unchanged")),
            sum_unchanged=Sum("unchanged"),
            sum_refused=Count("guid", filter=rejected),
            sum_faults=Sum("fault_count", filter=rejected),
        )
    )
    return rows


def _chart(
    title: str,
    series: Mapping[str, str],
    days: Sequence[date],
    by_day: Mapping[date, dict[str, Any]],
    *,
    stacked: bool,
) -> Chart:
    values = {name: [int(by_day.get(day, {}).get(f"sum_{name}") or 0) for day in days] for name in series}
    datasets = [
        {"label": name, "data": values[name], "backgroundColor": colour, "borderRadius": 2}
        for name, colour in series.items()
    ]
    data = {"labels": [f"{day:%b} {day.day}" for day in days], "datasets": datasets}
    scales = {name: axis | {"stacked": stacked} for name, axis in AXES.items()}
    options = {"maintainAspectRatio": False, "animation": False, "plugins": {"legend": LEGEND}, "scales": scales}
    total = ", ".join(f"{sum(numbers)} {name}" for name, numbers in values.items())
    return Chart(title, orjson.dumps(data).decode(), total, orjson.dumps(options).decode())
