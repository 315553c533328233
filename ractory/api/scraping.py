"""`GET /metrics`, for Prometheus: what has been counted, and how the databases are. Guarded by a token of its own."""

import os

from django.conf import settings
from django.db import Error, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ractory import __version__
from ractory.api.envelope import unknown


class StateCollector(Collector):
    """What is looked up when a scrape comes: the version that runs, and how each database is."""

    def collect(self) -> list[Metric]:
        info = GaugeMetricFamily("ractory_info", "1, labelled with the version that runs", labels=["version"])
        info.add_metric([__version__], 1)
        up = GaugeMetricFamily("ractory_database_up", "Whether the database answers", labels=["database"])
        used = GaugeMetricFamily(
            "ractory_database_connections", "Connections of this role, of all hosts", labels=["database", "state"]
        )
        most = GaugeMetricFamily("ractory_database_connections_max", "max_connections", labels=["database"])
        for alias in connections:
            try:
                states, limit = _connections(alias)
            except Error:
                up.add_metric([alias], 0)
                continue
            up.add_metric([alias], 1)
            for state, count in states.items():
                used.add_metric([alias, state], count)
            if limit is not None:
                most.add_metric([alias], limit)
        return [info, up, used, most]


def _connections(alias: str) -> tuple[dict[str, int], int | None]:
    """How many connections PostgreSQL holds for this role, by state, and its limit; of SQLite only that it answers."""
    with connections[alias].cursor() as cursor:
        if connections[alias].vendor != "postgresql":
            cursor.execute("SELECT 1")
            return {}, None
        cursor.execute(
            "SELECT coalesce(state, 'unknown'), count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user GROUP BY 1"
        )
        states = dict(cursor.fetchall())
        cursor.execute("SELECT current_setting('max_connections')::int")
        return states, cursor.fetchone()[0]


def _registry() -> CollectorRegistry:
    """This process's metrics; with several workers (ractory.api.workers) those of all."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # partly typed
    return registry


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics as text, for whoever brings `Authorization: Bearer <METRICS_TOKEN>`; 404 where none is set."""
    if not settings.METRICS_TOKEN:
        return unknown(request)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(given.strip(), settings.METRICS_TOKEN):
        challenge = {"WWW-Authenticate": 'Bearer realm="ractory metrics"'}
        return JsonResponse({"detail": "The metrics need their token."}, status=401, headers=challenge)
    state = CollectorRegistry()
    state.register(StateCollector())
    return HttpResponse(generate_latest(_registry()) + generate_latest(state), content_type=CONTENT_TYPE_PLAIN_0_0_4)
