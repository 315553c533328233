"""The settings of a server behind TLS, in a process of its own: settings are read once."""

import json
import os
import secrets
import subprocess
import sys
from typing import Any

from django.conf import settings

ENVIRONMENT = {"DATABASE_URL": "sqlite://:memory:", "DEBUG": "false", "BEHIND_TLS": "true"}

# First the checks, of which a warning is an error; then what a proxy that ends TLS passes on, and what it gets.
REQUESTS = """
import json
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("check", deploy=True, fail_level="WARNING")
answers = {}
for name, headers in {"plain": {}, "tls": {"X-Forwarded-Proto": "https"}}.items():
    answer = Client().get("/admin/login/", headers={"Host": "localhost", **headers})
    cookies = {name: bool(cookie["secure"]) for name, cookie in answer.cookies.items()}
    answers[name] = {"status": answer.status_code, "headers": dict(answer.headers), "secure": cookies}
print(json.dumps(answers))
"""


def test_the_checks_are_clean_cookies_are_secure_and_browsers_are_told_to_stay() -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", REQUESTS],
        env=os.environ | ENVIRONMENT | {"SECRET_KEY": secrets.token_urlsafe(64)},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said, printed = done.stdout.splitlines()
    assert "no issues" in said
    answers: dict[str, Any] = json.loads(printed)
    assert answers["plain"]["status"] == 301
    assert answers["plain"]["headers"]["Location"] == "https://localhost/admin/login/"
    assert answers["tls"]["status"] == 200
    assert answers["tls"]["secure"] == {"csrftoken": True}
    assert answers["tls"]["headers"]["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
