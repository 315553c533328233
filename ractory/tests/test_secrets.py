"""Keys, tokens and passwords turn up nowhere: not in answers, logs, rows or reports, wherever a client puts them."""

import io
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps

from ractory.api.logs import JsonFormatter, LineFormatter
from ractory.api.redaction import REDACTED, holds_secret, redacted
from ractory.api.rendering import to_json
from ractory.api.tests.client import Api
from ractory.tests.test_permission_matrix import OPERATIONS
from tenants.authentication import begin
from tenants.models import ApiKey, Company, User
from tenants.tests.factories import UserFactory, issue_key
from tenants.tests.staff import session_of

pytestmark = pytest.mark.django_db

PASSWORD = "Zwetschgen-mit-4711-Broeseln"


@dataclass(frozen=True)
class Secrets:
    user: User
    key: str
    access: str
    refresh: str

    def texts(self) -> list[str]:
        """What must be nowhere: of each secret the part that matters."""
        signatures = [token.rpartition(".")[2] for token in (self.access, self.refresh)]
        return [self.key[4:-6], PASSWORD, "4711-Br", *signatures]


@pytest.fixture
def secrets(company: Company) -> Secrets:
    user = UserFactory.create(company=company, password=PASSWORD)
    tokens = begin(user)
    return Secrets(user, issue_key(company), tokens["access_token"], tokens["refresh_token"])


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the log would say, in both formats, from the most talkative level on."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers = [logging.StreamHandler(stream) for _ in range(2)]
    for handler, formatter in zip(handlers, (JsonFormatter(), LineFormatter()), strict=True):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    before = root.level
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(before)
    for handler in handlers:
        root.removeHandler(handler)


def rows() -> str:
    """Every value of every table."""
    return "\n".join(
        repr(row) for model in apps.get_models() for row in model._base_manager.values_list() if model._meta.managed
    )


def said(answer: Any) -> str:
    return f"{answer.getvalue()!r} {dict(answer.headers)!r}"


def is_clean(secrets: Secrets, *texts: str) -> None:
    for text in texts:
        for secret in secrets.texts():
            assert secret not in text, f"…{text[max(0, text.index(secret) - 200) : text.index(secret)]} and a secret"


def misplaced(secret: str, key: str) -> list[dict[str, str]]:
    """Headers with the secret where it belongs, and, of someone with a good key, where it does not."""
    bad = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    return [
        *({"X-API-Key": text} for text in (secret, bad, f"{secret} {secret}", f"ApiKey {secret}")),
        *({"Authorization": f"{scheme} {secret}"} for scheme in ("ApiKey", "Bearer", "Basic", "Token", "")),
        {"Authorization": f"Bearer {bad}"},
        *({"X-API-Key": key} | headers for headers in elsewhere(secret)),
    ]


def elsewhere(secret: str) -> list[dict[str, str]]:
    return [
        {"X-Request-ID": secret},
        {"X-Request-ID": secret[:100]},
        {"Idempotency-Key": secret},
        {"Prefer": secret},
        {"Accept": secret},
        {"Content-Type": secret},
        {"Content-Encoding": secret},
        {"User-Agent": secret, "Referer": f"https://example.com/?key={secret}", "Cookie": f"key={secret}"},
        {"X-Forwarded-For": secret},
    ]


def paths(route: str, secret: str) -> list[str]:
    path = "/" + route.replace("<str:guid>", "01a1ffec-d9c5-7479-8921-c20639616792")
    named = "/" + route.replace("<str:guid>", secret)
    return [path, named, *(f"{path}?{name}={secret}" for name in ("api_key", "company_guid", "limit", "cursor"))]


@pytest.mark.parametrize(
    ("route", "method", "kind"),
    [
        *((route, method, "key") for route, method in OPERATIONS),
        *(("api/v1/pieces", "GET", kind) for kind in ("access", "refresh")),
        *(("api/v1/auth/refresh", "POST", kind) for kind in ("access", "refresh")),
        *(("api/v1/sync/pieces", "POST", kind) for kind in ("access", "refresh")),
    ],
)
def test_no_endpoint_repeats_notes_or_logs_a_secret(
    secrets: Secrets, log: io.StringIO, route: str, method: str, kind: str
) -> None:
    secret = getattr(secrets, kind)
    item = {"guid": secret, "piece_id": secret * 10, "outer_length": secret, "project_guid": secret, "code": secret}
    bodies: list[Any] = [
        {"email": secret, "password": secret},
        {"pieces": [item | {"company_guid": secret}], "projects": [item], "components": [item], "assemblies": [item]},
        {"pieces": secret, "projects": secret, "components": secret, "assemblies": secret, "refresh_token": secret[9:]},
    ]
    answers = []
    for path in paths(route, secret):
        answers.append(Api().generic(method, path, headers={"X-API-Key": secrets.key}))
    for headers in misplaced(secret, secrets.key):
        answers.append(Api().generic(method, paths(route, secret)[0], "{}", "application/json", headers=headers))
    if method == "POST":
        answers += [Api().with_key(secrets.key).post(f"/{route}", body) for body in bodies]
        answers.append(Api().with_key(secrets.key).post_raw(f"/{route}", f'{{"{secret}'.encode()))
    assert {answer.status_code for answer in answers} & {200, 400, 401, 403, 404, 405, 422}
    is_clean(secrets, log.getvalue(), rows(), *map(said, answers))


def test_a_login_repeats_no_password_right_or_wrong(secrets: Secrets, log: io.StringIO) -> None:
    email = secrets.user.email
    bodies: list[Any] = [
        {"email": email, "password": PASSWORD},
        {"email": email, "password": PASSWORD + "x"},
        {"email": PASSWORD, "password": PASSWORD},
        {"email": email, "password": PASSWORD * 40},
        {"email": PASSWORD * 20, "password": [PASSWORD]},
        {"email": email, "password": {PASSWORD: PASSWORD}},
        {"refresh_token": PASSWORD},
        {"refresh_token": [PASSWORD]},
    ]
    answers = [
        Api().post(f"/api/v1/auth/{path}", body, headers=headers)
        for path in ("login", "refresh", "nothing")
        for body in bodies
        for headers in ({}, {"X-API-Key": secrets.key, "Authorization": f"Bearer {secrets.access}"})
    ]
    answers.append(Api().post_raw("/api/v1/auth/login", f'{{"password": "{PASSWORD}'.encode()))
    answers.append(Api().post_raw("/api/v1/auth/login", f"password={PASSWORD}".encode(), "text/plain"))
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 415, 422}
    is_clean(secrets, log.getvalue(), rows(), *map(said, answers))


def test_the_admin_s_history_and_pages_hold_no_secret(secrets: Secrets, log: io.StringIO) -> None:
    staff = session_of(secrets.user)
    one, new = ApiKey.objects.get(), {"email": "new@example.com", "role": "Operator"}
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    key = {"guid": str(uuid.uuid4()), "description": "Saw", "scopes": ["sync:read"]}
    made = staff.post("/admin/tenants/apikey/add/", key)
    text = str(made.context["text"])
    shown_once = staff.post(f"/admin/tenants/apikey/{one.guid}/rotate/", {"guid": str(uuid.uuid4()), "overlap": "24"})
    assert staff.post("/admin/tenants/user/add/", new | passwords).status_code == 302
    assert staff.post("/admin/tenants/user/add/", new | passwords).status_code == 200
    assert staff.post("/admin/tenants/user/add/", new | passwords | {"password2": "x"}).status_code == 200
    login = Api().post("/admin/login/", {"username": PASSWORD, "password": PASSWORD}, format="multipart")
    assert (made.status_code, shown_once.status_code, login.status_code) == (200, 200, 200)
    lists = [staff.get(f"/admin/tenants/{page}") for page in ("apikey/", "user/", f"apikey/{one.guid}/history/")]
    everything = (log.getvalue(), rows(), *map(said, lists))
    is_clean(secrets, *everything)
    for new_key in (text, str(shown_once.context["text"])):
        assert not any(new_key in place for place in everything)


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        ("tenants.models.ApiKey.found", "/api/v1/auth/me"),
        ("tenants.authentication.user_of", "/api/v1/auth/me"),
        ("tenants.views.authenticate", "/api/v1/auth/login"),
        ("tenants.views.begin", "/api/v1/auth/login"),
        ("tenants.views.renew", "/api/v1/auth/refresh"),
        ("sync.submission.parse", "/api/v1/sync/pieces"),
    ],
)
def test_a_crash_is_logged_without_secrets(
    secrets: Secrets, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, broken: str, path: str
) -> None:
    """With whatever the function that crashes was given in the error's message: a key or a token, not a password."""

    def crash(*given: Any, **options: Any) -> None:
        raise RuntimeError(f"broken: {given[-1]}")

    monkeypatch.setattr(broken, crash)
    headers = {"Authorization": f"Bearer {secrets.access}"} if "user_of" in broken else {"X-API-Key": secrets.key}
    login = {"email": secrets.user.email, "password": PASSWORD, "refresh_token": secrets.refresh}
    body = {"pieces": [{"piece_id": secrets.key}]} if "sync" in path else login
    api, method = Api(raise_request_exception=False), "GET" if path.endswith("me") else "POST"
    text = to_json(body).decode()
    answer = api.generic(method, f"{path}?q={secrets.key}", text, "application/json", headers=headers)
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal server error."}
    assert "broken: " in log.getvalue()
    is_clean(secrets, log.getvalue(), rows(), said(answer))


GLUE = ["x", "_", "-", ".", "=", "é", "\\n", "eyJ", "eyJ.", "eyJa.", "a.b.", "a.eyJ", "rfk_", "rfk_1234567", ".eyJ.eyJ"]


@pytest.mark.parametrize("kind", ["key", "access", "refresh"])
def test_a_secret_is_found_whatever_it_touches(secrets: Secrets, kind: str) -> None:
    text = getattr(secrets, kind)
    for glue in (*GLUE, secrets.key, secrets.access, secrets.refresh):
        is_clean(secrets, redacted(glue + text), redacted(text + glue), redacted(glue + text + glue))
        assert holds_secret(glue + text + glue)


def test_every_key_and_token_is_known_as_a_secret(secrets: Secrets) -> None:
    for text in (secrets.key, secrets.key[:-1], secrets.access, secrets.refresh):
        assert redacted(f"before {text}, after") == f"before {REDACTED}, after"
    for text in ("rfk_…", "eyJ…", "rfk_", "a.b.c", str(secrets.user.guid), "ordinary words"):
        assert redacted(text) == text
