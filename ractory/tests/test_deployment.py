"""The settings of a server behind TLS, in a process of its own: settings are read once."""

import json
import os
import secrets
import subprocess
import sys
from typing import Any

from django.conf import settings

ENVIRONMENT = {"DATABASE_URL": "sqlite://:memory:", "DEBUG": "false", "BEHIND_TLS": "true"}

# What a proxy that ends TLS passes on, and what it gets.
REQUESTS = """
import json
import django
django.setup()
from django.test import Client
answers = {}
for name, headers in {"plain": {}, "tls": {"X-Forwarded-Proto": "https"}}.items():
    answer = Client().get("/admin/login/", headers={"Host": "localhost", **headers})
    cookies = {name: bool(cookie["secure"]) for name, cookie in answer.cookies.items()}
    answers[name] = {"status": answer.status_code, "headers": dict(answer.headers), "secure": cookies}
print(json.dumps(answers))
"""


def run(*arguments: str) -> str:
    environment = os.environ | ENVIRONMENT | {"SECRET_KEY": secrets.token_urlsafe(64)}
    command = [sys.executable, *arguments]
    done = subprocess.run(  # noqa: S603  # our own words
        command, env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_deployment_checks_are_clean() -> None:
    assert "no issues" in run("manage.py", "check", "--deploy", "--fail-level", "WARNING")


def test_behind_tls_cookies_are_secure_and_browsers_are_told_to_stay() -> None:
    answers: dict[str, Any] = json.loads(run("-c", REQUESTS))
    assert answers["plain"]["status"] == 301
    assert answers["plain"]["headers"]["Location"] == "https://localhost/admin/login/"
    assert answers["tls"]["status"] == 200
    assert answers["tls"]["secure"] == {"csrftoken": True}
    assert answers["tls"]["headers"]["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
