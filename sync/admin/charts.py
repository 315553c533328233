"""Rows and faults per day, for unfold's charts (Chart.js, which the theme ships)."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from pieces.receipts import RunStatus, SyncRun, first_guid

DAYS = 14
REJECTED = Q(status=RunStatus.REJECTED)
# The series of each chart: what is summed up, and its colour.
ROWS = {
    "inserted": (Sum("inserted"), "#16a34a"),
    "changed": (Sum(F("updated") - F("unchanged")), "var(--color-primary-600)"),
    "unchanged": (Sum("unchanged"), "#cbd5e1"),
}
TROUBLE = {
    "faults": (Sum("fault_count"), "#dc2626"),
    "refused": (Count("guid", filter=REJECTED), "#f59e0b"),
}
AXES = {
    "x": {"grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkip": True}},
    "y": {"beginAtZero": True, "ticks": {"precision": 0}, "grid": {"color": "rgba(128, 128, 128, 0.2)"}},
}
LEGEND = {"align": "end", "position": "top", "labels": {"boxWidth": 10, "boxHeight": 10}}


def charts_of(now: datetime) -> list[dict[str, str]]:
    """Of the scope's runs in the last 14 days (UTC), in one query over the range of their guids."""
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    sums = {f"sum_{name}": summed for name, (summed, _) in (ROWS | TROUBLE).items()}
    runs = SyncRun.objects.filter(guid__gte=first_guid(first), dry_run=False).order_by()
    by_day = {row["day"]: row for row in runs.values(day=TruncDate("started_at")).annotate(**sums)}
    days = {day: by_day.get(day, {}) for day in (first.date() + timedelta(days=n) for n in range(DAYS))}
    return [
        _chart("Rows per day", ROWS, days, stacked=True),
        _chart("Faults and refused syncs per day", TROUBLE, days, stacked=False),
    ]


def _chart(title: str, series: Mapping[str, Any], days: Mapping[date, Any], *, stacked: bool) -> dict[str, str]:
    """For the template: data and options as JSON, and the sums for who can't see the chart."""
    values = {name: [int(row.get(f"sum_{name}") or 0) for row in days.values()] for name in series}
    datasets = [
        {"label": name, "data": values[name], "backgroundColor": colour, "borderRadius": 2}
        for name, (_, colour) in series.items()
    ]
    data = {"labels": [f"{day:%b} {day.day}" for day in days], "datasets": datasets}
    scales = {name: axis | {"stacked": stacked} for name, axis in AXES.items()}
    options = {"maintainAspectRatio": False, "animation": False, "plugins": {"legend": LEGEND}, "scales": scales}
    total = ", ".join(f"{sum(numbers)} {name}" for name, numbers in values.items())
    as_json = {"data": orjson.dumps(data).decode(), "options": orjson.dumps(options).decode()}
    return {"title": title, "total": total, **as_json}
