"""What every answer tells browsers and caches. That the pages live with it, the walks in a browser show."""

import re
from itertools import chain
from typing import Any

import pytest
from django.test import Client, override_settings

from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import admin_of

pytestmark = pytest.mark.django_db

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STATIC = "/static/tenants/staff.js"
PATHS = [
    *(
        "/health",
        "/api/v1/health",
        "/api/v1/pieces",
        "/api/v1/nothing",
        "/api/schema",
        "/api/docs",
        "/api/docs?script=",
    ),
    *("/admin/", "/admin/login/", "/admin/nothing/", STATIC, "/nothing"),
]


def read(client: Client, path: str) -> Any:
    answer: Any = client.get(path)
    answer.getvalue()  # to its end, so that a file is closed
    return answer


def policy(response: Any) -> dict[str, list[str]]:
    """The policy's directives with their sources."""
    directives = (words.split() for words in response["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_page_may_do(company: Company, path: str) -> None:
    for client in (Client(), admin_of(company)):
        answer = read(client, path)
        rules = policy(answer)
        assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == ["'none'"]
        assert "'unsafe-inline'" not in rules.get("script-src", [])
        assert not any("//" in source or source in ("*", "http:", "https:") for source in chain(*rules.values()))
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "geolocation=()" in answer["Permissions-Policy"]
        assert ("camera=(self)" in answer["Permissions-Policy"]) == path.startswith("/admin/")


@pytest.mark.parametrize("path", ["/health", "/api/v1/pieces", "/api/v1/nothing", "/api/schema", STATIC, "/nothing"])
def test_what_is_no_page_may_do_nothing(client: Client, path: str) -> None:
    assert read(client, path)["Content-Security-Policy"] == NOTHING


def test_only_the_admin_may_compile_scripts(client: Client, company: Company) -> None:
    assert policy(admin_of(company).get("/admin/"))["script-src"] == ["'self'", "'unsafe-eval'"]
    for path in ("/api/docs", "/api/docs/"):
        assert policy(client.get(path))["script-src"] == ["'self'"]


def test_the_page_of_the_api_has_no_script_of_its_own(client: Client) -> None:
    page = client.get("/api/docs").content.decode()
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page)
    assert len(scripts) == 3
    assert all("src=" in attributes and not text.strip() for attributes, text in scripts)
    (address,) = (found for found in re.findall(r'src="([^"]*)"', page) if "script=" in found)
    script = client.get(address)
    assert script["Content-Type"].startswith("application/javascript")
    assert b"SwaggerUIBundle" in script.content


def test_answers_with_tenants_data_or_tokens_are_kept_by_nobody(api: Api, company: Company, key: str) -> None:
    login = api.post("/api/v1/auth/login", {"email": UserFactory.create().email, "password": PASSWORD})
    assert login["Cache-Control"] == "no-store"
    for path in ("/api/v1/pieces", "/api/v1/pieces/", "/api/v1/auth/me", "/api/v1/sync/runs", "/api/v1/nothing"):
        assert api.with_key(key).get(path)["Cache-Control"] == "no-store"
    assert "no-store" in admin_of(company).get("/admin/")["Cache-Control"]


def test_the_cookies_of_the_admin_are_for_this_site_and_not_for_scripts(client: Client) -> None:
    user = UserFactory.create()
    answer = client.post("/admin/login/", {"username": user.email, "password": PASSWORD})
    session = answer.cookies["sessionid"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")


def test_django_s_own_pages_for_debugging_can_be_read(client: Client) -> None:
    with override_settings(DEBUG=True):
        assert "Content-Security-Policy" not in client.get("/nothing")
        assert "Content-Security-Policy" in client.get("/health")
