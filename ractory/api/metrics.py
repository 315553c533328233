"""Metrics for Prometheus: what is counted of every request (and in pieces/receipts.py), and `GET /metrics`. Labels come
from a few fixed words (routes, methods, statuses): never from a path, a body or a tenant."""

import os

from django.conf import settings
from django.db import Error, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ractory import __version__
from ractory.api.replica import PRIMARY, REPLAYED, REPLICA, WRITTEN, ask
from ractory.api.worker_metrics import DIRECTORY

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UNKNOWN = "unknown"  # the name of the routes that stand for all paths that there are none of (ractory.urls)

REQUESTS = Counter("ractory_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "ractory_http_request_duration_seconds", "Time until a request is answered", ["method", "route"], buckets=SECONDS
)
IN_PROGRESS = Gauge("ractory_http_requests_in_progress", "Requests being served", multiprocess_mode="livesum")
WORKERS_ENDED = Counter("ractory_workers_ended", "gunicorn's workers that have ended, for whatever reason")
REPLAYS = Counter("ractory_idempotent_replays", "Answers given again to an Idempotency-Key", ["route"])

# How many connections PostgreSQL holds for this role, by state; its limit stands in each row.
CONNECTIONS = """
    SELECT coalesce(state, 'unknown'), count(*), current_setting('max_connections')::int FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user GROUP BY 1
"""


def route_of(request: HttpRequest) -> str:
    """The pattern of the request's URL; one word for all files, and one for all paths that there are none of."""
    match = request.resolver_match
    if match is not None and match.url_name != UNKNOWN:
        return f"/{match.route}"
    return "static" if request.path_info.startswith(settings.STATIC_URL) else UNKNOWN


def count_request(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    method = request.method if request.method in METHODS else "other"
    route = route_of(request)
    REQUESTS.labels(method, route, response.status_code).inc()
    DURATION.labels(method, route).observe(seconds)
    if "Idempotent-Replayed" in response.headers:
        REPLAYS.labels(route).inc()


class StateCollector(Collector):
    """What is looked up when a scrape comes: the version that runs, and how each database is."""

    def collect(self) -> list[Metric]:
        info = GaugeMetricFamily("ractory_info", "1, labelled with the version that runs", labels=["version"])
        info.add_metric([__version__], 1)
        up = GaugeMetricFamily("ractory_database_up", "Whether the database answers", labels=["database"])
        all_hosts = "Connections of this role, of all hosts"
        used = GaugeMetricFamily("ractory_database_connections", all_hosts, labels=["database", "state"])
        most = GaugeMetricFamily("ractory_database_connections_max", "max_connections", labels=["database"])
        named = GaugeMetricFamily("ractory_database_info", "1: which one it is", labels=["database", "name", "host"])
        behind = "What the primary has written, and the replica not replayed"
        lag = GaugeMetricFamily("ractory_replica_lag_bytes", behind)
        for alias in connections:
            place = connections[alias].settings_dict
            host = place["HOST"] or place["OPTIONS"].get("host") or "localhost"
            named.add_metric([alias, str(place["NAME"]), str(host)], 1)
            try:
                question = CONNECTIONS if connections[alias].vendor == "postgresql" else "SELECT 1 WHERE false"
                rows = connections[alias].cursor().execute(question).fetchall()
                if alias == REPLICA:
                    lag.add_metric([], max(0, ask(PRIMARY, WRITTEN) - ask(REPLICA, REPLAYED)))
            except Error:
                up.add_metric([alias], 0)
                continue
            up.add_metric([alias], 1)
            for state, count, _ in rows:
                used.add_metric([alias, state], count)
            for _, _, limit in rows[:1]:
                most.add_metric([alias], limit)
        return [info, up, named, used, most, lag]


STATE = CollectorRegistry()  # other packages put theirs in, too
STATE.register(StateCollector())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics as text, for whoever brings `Authorization: Bearer <METRICS_TOKEN>`; 404 where none is set."""
    if not settings.METRICS_TOKEN:
        return JsonResponse({"detail": "Not found."}, status=404)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(given.strip(), settings.METRICS_TOKEN):
        challenge = {"WWW-Authenticate": 'Bearer realm="ractory metrics"'}
        return JsonResponse({"detail": "The metrics need their token."}, status=401, headers=challenge)
    counted = REGISTRY
    if DIRECTORY in os.environ:  # of all workers, not of this process alone
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]  # partly typed
    return HttpResponse(generate_latest(counted) + generate_latest(STATE), content_type=CONTENT_TYPE_PLAIN_0_0_4)
