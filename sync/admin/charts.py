"""Rows and faults per day, for unfold's charts (Chart.js, which the theme ships)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from json import dumps as to_json
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from pieces.receipts import RunStatus, SyncRun, first_guid

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


def charts_of(now: datetime) -> Iterator[dict[str, str]]:
    """Of the scope's runs in the last 14 days (UTC), in one query over the range of their guids: for the template, data
    and options as JSON, and the sums for who can't see the chart."""
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
