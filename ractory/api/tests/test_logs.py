"""The log: one line per event, what it says of its request, and what never gets into it."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from ractory.api.logs import JsonFormatter, LineFormatter, context
from ractory.api.middleware import current_request
from ractory.api.tests.client import Api
from ractory.settings import BASE_DIR
from tenants.caller import Role
from tenants.models import ApiKey, Company
from tenants.tests.factories import UserFactory


class Log:
    """What the handlers of the site would write, in one format."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(formatter)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def listening(formatter: logging.Formatter) -> Iterator[Log]:
    log, root = Log(formatter), logging.getLogger()
    root.addHandler(log.handler)
    yield log
    root.removeHandler(log.handler)


@pytest.fixture
def log() -> Iterator[Log]:
    yield from listening(JsonFormatter())


@pytest.fixture
def plain() -> Iterator[Log]:
    yield from listening(LineFormatter())


@pytest.mark.django_db
def test_each_request_is_a_line(api: Api, company: Company, key: str, log: Log) -> None:
    api.with_key(key).get("/api/v1/pieces/x/", headers={"X-Request-ID": "r-1"})
    (line,) = log.lines
    assert line.pop("time").endswith("Z")
    assert line.pop("duration_ms") > 0
    assert line == {
        "level": "INFO",
        "logger": "ractory.access",
        "message": "GET /api/v1/pieces/x/ 404",
        "request_id": "r-1",
        "company": str(company.guid),
        "caller": str(ApiKey.objects.get().guid),
        "method": "GET",
        "route": "/api/v1/pieces/<str:guid>",
        "path": "/api/v1/pieces/x/",
        "status": 404,
    }


@pytest.mark.django_db
def test_a_line_names_the_user_of_a_token_and_of_a_session(api: Api, log: Log) -> None:
    user = UserFactory.create(role=Role.COMPANY_ADMIN)
    Api().with_user(user).get("/api/v1/auth/me")
    api.force_login(user)
    api.get("/admin/")
    for line in log.lines:
        assert (line["caller"], line["company"]) == (str(user.guid), str(user.company_guid))
    assert len(log.lines) == 2


@pytest.mark.django_db
def test_nobody_is_named_before_the_caller_is_known(api: Api, log: Log) -> None:
    api.with_key("rfk_wrong").get("/api/v1/pieces")
    api.credentials()
    api.get("/admin/login/")
    assert [set(line) & {"caller", "company"} for line in log.lines] == [set(), set()]


def test_a_log_does_not_look_a_user_up() -> None:
    request = RequestFactory().get("/admin/")
    request.user = SimpleLazyObject(lambda: pytest.fail("looked up"))  # type: ignore[assignment]  # what stands in for Django's
    token = current_request.set(request)
    assert "caller" not in context()
    request._cached_user = AnonymousUser()  # type: ignore[attr-defined]  # what stands in for Django's
    assert "caller" not in context()
    current_request.reset(token)
    assert context() == {}


@pytest.mark.django_db
def test_secrets_stay_out(api: Api, key: str, log: Log, plain: Log) -> None:
    api.with_key(key).get("/api/v1/pieces?api_key=in-the-query", headers={"Cookie": "c=in-a-cookie"})
    api.get("/nope?in-the-query", headers={"Referer": "http://x/?in-a-header", "User-Agent": "in-a-header"})
    api.post("/api/v1/auth/login?in-the-query", {"email": "a@b.c", "password": "in-the-body"})
    for text in (log.text, plain.text):
        assert len(text.splitlines()) == 3
        assert "in-" not in text
        assert key not in text
        assert key[4:12] not in text


@pytest.mark.django_db
def test_what_a_bug_leaves_is_one_line_with_its_traceback(
    api: Api, key: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("tenants.views.MeView.get", broken)
    api.raise_request_exception = False
    api.with_key(key).get("/api/v1/auth/me?in-the-query", headers={"X-Request-ID": "r-2"})
    error, access = log.lines
    assert (error["level"], error["logger"], error["request_id"]) == ("ERROR", "django.request", "r-2")
    assert error["caller"] == access["caller"]
    assert "ZeroDivisionError: first\nsecond" in error["exception"]
    assert access["status"] == 500
    assert "in-the-query" not in log.text


NASTY = 'a\nb\r\n2026-11-21 22:17:22,213 ERROR forged [-] line\x00\x1b[2J\x85\u2028\udcff"}{"level": "ERROR"'


def test_no_client_can_forge_a_line(log: Log, plain: Log) -> None:
    logging.getLogger("ractory.test").error("Refused: %s", NASTY)
    (line,) = log.lines
    assert line["message"] == f"Refused: {NASTY}"
    assert len(plain.text.splitlines()) == 1
    assert all(char.isprintable() for char in plain.text.removesuffix("\n"))


@pytest.mark.django_db
def test_a_path_can_not_forge_a_line(api: Api, log: Log, plain: Log) -> None:
    api.get("/api/v1/pieces/x%0A2026-11-21%20ERROR%20forged%0D%0A", headers={"Host": "evil\nERROR forged"})
    for text in (log.text, plain.text):
        assert all(line.startswith(("{", "20")) for line in text.splitlines())
    assert len(plain.text.splitlines()) == len(log.lines)
    assert log.lines[-1]["path"] == "/api/v1/pieces/x\n2026-11-21 ERROR forged\r\n"


def test_a_person_reads_the_time_the_level_the_logger_the_request_and_the_message(api: Api, plain: Log) -> None:
    api.get("/static/nope.css", headers={"X-Request-ID": "r-3"})
    day, _, rest = plain.text.partition(" ")
    _, _, rest = rest.partition(" ")
    assert day[:2] == "20"
    assert rest.startswith("INFO ractory.access [r-3] GET /static/nope.css 404 ")
    assert rest.endswith(" ms\n")


def test_a_traceback_is_indented_below_its_line(plain: Log) -> None:
    try:
        raise ValueError("one\n2026-11-21 ERROR forged [-] two")
    except ValueError:
        logging.getLogger("ractory.test").exception("It broke")
    first, *rest = plain.text.splitlines()
    assert first.endswith("ERROR ractory.test [-] It broke")
    assert all(line.startswith("    ") for line in rest)


def test_probes_and_scrapes_leave_no_line(api: Api, log: Log) -> None:
    api.get("/health")
    api.head("/health/")
    api.post("/health")
    assert [line["message"] for line in log.lines] == ["POST /health 405"]


LONG = 8000  # characters: as much as the server takes for a path
LINE = 9000  # what a line may have, whatever a client sends: half of it in "\u0000", or a traceback


@pytest.mark.django_db
def test_what_a_client_chose_is_cut_before_it_is_logged(api: Api, key: str, log: Log, plain: Log) -> None:
    api.with_key(key).get("/api/v1/pieces/" + "x" * LONG)
    api.generic("X" * LONG, "/api/v1/pieces")
    api.get("/admin/login/", headers={"Host": "x" * LONG, "Referer": "x" * LONG, "X-Request-ID": "x" * LONG})
    api.get("/" + "%00" * LONG)
    for text in (log.text, plain.text):
        lines = text.splitlines()
        assert len(lines) >= 4
        assert max(map(len, lines)) <= LINE
    assert log.lines[0]["path"] == ("/api/v1/pieces/" + "x" * LONG)[:300] + "…"
    assert log.lines[0]["message"] == f"GET {log.lines[0]['path']} 404"


def test_a_message_and_a_traceback_are_cut_too(log: Log, plain: Log) -> None:
    try:
        raise ValueError("x" * 10**6)
    except ValueError:
        logging.getLogger("ractory.test").exception("Refused: %s", "y" * 10**6)
    (line,) = log.lines
    assert line["message"] == "Refused: " + "y" * (1000 - len("Refused: ")) + "…"
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("ValueError: " + "x" * (500 - len("ValueError: ")) + "…")
    assert len(plain.text) < LINE


def test_pythons_own_warnings_are_lines_of_the_log() -> None:
    command = [sys.executable, "-c", "import ractory.wsgi, warnings; warnings.warn('odd')"]
    known = {**os.environ, "LOG_FORMAT": "json"}
    said = subprocess.run(command, cwd=BASE_DIR, env=known, capture_output=True, text=True)  # noqa: S603  # our own words
    [line] = [json.loads(line) for line in said.stderr.splitlines()]
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "UserWarning: odd" in line["message"]
