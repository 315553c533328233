"""Pages of other origins: who may call the API from a browser, what they may send, and what they can read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ractory.api.tests.client import Api
from ractory.tests.live import Answer
from ractory.tests.served import Served, served

ORIGIN, OTHER = "https://screens.example.com", "https://elsewhere.example.com"
SENT = {
    *("authorization", "cache-control", "content-encoding", "content-type", "idempotency-key", "prefer"),
    *("x-api-key", "x-request-id", "x-sync-run"),
}
READ = {
    *("Link", "X-Total-Count", "X-Sync-Run", "X-Request-ID", "X-Ignored-Fields", "Retry-After"),
    *("Idempotent-Replayed", "Preference-Applied"),
}
PATHS = ("/api/v1/pieces", "/api/v1/pieces/", "/api/v1/sync/pieces", "/api/v1/auth/login", "/api/schema", "/health")
CLOSED = ("/admin/", "/admin/login/", "/admin", "/metrics", "/nothing", "/apis", "/healthy")
UNLISTED = (OTHER, "http://screens.example.com", f"{ORIGIN}:8443", f"{ORIGIN}.evil.example", "null", "\x80", "x" * 8000)


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[Served]:
    listed = f"{ORIGIN}, http://localhost:3000"
    with served(tmp_path / "log", CORS_ALLOWED_ORIGINS=listed, THROTTLE_REQUESTS="2/hour", BEHIND_TLS="true") as site:
        yield site


def preflight(server: Served, path: str, origin: str = ORIGIN) -> Answer:
    """As a browser asks: without credentials; and by http, where anything else would be a redirect."""
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": ",".join(SENT)}
    return server.call("OPTIONS", path, Origin=origin, **asked)


def words(answer: Answer, name: str) -> set[str]:
    return {word.strip() for word in answer.headers[name].split(",")}


def granted(answer: Answer) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_pages_of_the_listed_origins_may_call_and_no_others(server: Served, key: str) -> None:
    for path in PATHS:
        answer = preflight(server, path)
        assert (answer.status, answer.body) == (200, b""), path
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert words(answer, "Access-Control-Allow-Headers") == SENT
        assert words(answer, "Access-Control-Allow-Methods") >= {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert answer.headers["Access-Control-Allow-Credentials"] is None
        assert answer.headers["X-Request-ID"]
        assert "origin" in answer.headers["Vary"].lower()
    assert preflight(server, "/api/v1/pieces", "http://localhost:3000").headers["Access-Control-Allow-Origin"]
    for origin in UNLISTED:
        assert granted(preflight(server, "/api/v1/pieces", origin)) == []
    for path in CLOSED:
        assert granted(preflight(server, path)) == [], path
        assert granted(server.call("GET", path, Origin=ORIGIN, X_Forwarded_Proto="https")) == [], path

    def get(origin: str = ORIGIN, **sent: str) -> Answer:
        return server.call("GET", "/api/v1/pieces?count=true", Origin=origin, X_Forwarded_Proto="https", **sent)

    answers = [get(), get(X_API_Key=key), get(X_API_Key=key), get(X_API_Key=key)]
    assert [answer.status for answer in answers] == [401, 200, 200, 429]  # and no preflight was counted
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert words(answer, "Access-Control-Expose-Headers") == READ
    assert granted(get(OTHER, X_API_Key=key)) == []


@pytest.mark.django_db
def test_where_no_origin_is_listed_a_preflight_is_a_request_like_any_other(api: Api, key: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    answers = [api.options("/api/v1/pieces", headers=asked), api.with_key(key).get("/api/v1/pieces", headers=asked)]
    assert [answer.status_code for answer in answers] == [401, 200]
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert "origin" not in answer.headers.get("Vary", "").lower()
