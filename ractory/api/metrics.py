"""What is counted of every request, for Prometheus (ractory.api.scraping hands it out).

Labels come from a few fixed words (routes, methods, statuses): never from a path, a body or a tenant. What only one
app knows is counted there (sync/metrics.py).
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Gauge, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UNKNOWN = "unknown"  # the name of the routes that stand for all paths that there are none of (ractory.urls)

REQUESTS = Counter("ractory_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "ractory_http_request_duration_seconds", "Time until a request is answered", ["method", "route"], buckets=SECONDS
)
IN_PROGRESS = Gauge("ractory_http_requests_in_progress", "Requests being served", multiprocess_mode="livesum")
REPLAYS = Counter("ractory_idempotent_replays", "Answers given again to an Idempotency-Key", ["route"])


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
