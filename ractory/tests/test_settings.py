"""Settings that are not understood: the start fails, in the words of one line that give no secret away."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from ractory.settings import BASE_DIR, database, read
from ractory.variables import exact_origins, hosts, number, origins, rate, secret_key

NAME = "DATABASE_URL"
POSTGRESQL, SQLITE = "django.db.backends.postgresql", "django.db.backends.sqlite3"


@pytest.mark.parametrize(
    ("url", "engine", "name"),
    [
        ("postgres://u:p@h:5432/db", POSTGRESQL, "db"),
        ("postgresql://u@/db?host=%2Ftmp", POSTGRESQL, "db"),
        ("sqlite:////srv/ractory.sqlite3", SQLITE, "/srv/ractory.sqlite3"),
        ("sqlite://:memory:", SQLITE, ":memory:"),
    ],
)
def test_a_database_url_is_understood(monkeypatch: pytest.MonkeyPatch, url: str, engine: str, name: str) -> None:
    monkeypatch.setenv(NAME, url)
    config = database(NAME, "")
    assert (config["ENGINE"], config["NAME"]) == (engine, name)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        *((url, "is neither sqlite:///… nor postgres://…") for url in ("x", "://", "oracle://u:secret@h/db")),
        *((url, "is neither sqlite:///… nor postgres://…") for url in ("mysql://h/db", "postgis://h/db", "sqlite:")),
        ("postgres://u:secret@h:port/db", "is not understood: write postgres://user:password@host:5432/name"),
        ("postgres://u:secret@h:99999/db", "is not understood: write postgres://user:password@host:5432/name"),
        ("postgres://[::1/db", "is not understood: write postgres://user:password@host:5432/name"),
        *((url, "names no database: postgres://…/name") for url in ("postgres://", "postgres://u:secret@h/")),
        *((url, "names no database: sqlite://…/name") for url in ("sqlite://", "sqlite:///")),
    ],
)
def test_a_malformed_one_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, complaint: str
) -> None:
    monkeypatch.setenv(NAME, url)
    with pytest.raises(ImproperlyConfigured) as error:
        database(NAME, "")
    assert str(error.value) == f"{NAME} {complaint}"


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        *((text, None) for text in ("off", "0", "OFF", " off ")),
        *(("", (20, 900)), ("6000/minute", (6000, 60)), ("10/second", (10, 1)), ("1/hour", (1, 3600))),
        *(("5/2 days", (5, 172_800)), ("20/15 Minutes", (20, 900)), ("1/1 minute", (1, 60))),
    ],
)
def test_a_rate_is_understood(monkeypatch: pytest.MonkeyPatch, text: str, understood: tuple[int, int] | None) -> None:
    monkeypatch.setenv("THROTTLE_ROWS", text)
    assert read("THROTTLE_ROWS", rate("20/15 minutes")) == understood


@pytest.mark.parametrize("text", ["6000", "0/minute", "-1/minute", "1.5/minute", "5/week", "5/0 minutes", "no", "1/m"])
def test_a_rate_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("THROTTLE_ROWS", text)
    with pytest.raises(ImproperlyConfigured) as error:
        read("THROTTLE_ROWS", rate("off"))
    assert str(error.value) == f"THROTTLE_ROWS={text!r} is not understood"


def test_limits_are_on_by_default_for_production_only() -> None:
    shown = "from ractory import settings as s; print(s.THROTTLE_REQUESTS, s.THROTTLE_ROWS)"
    for debug, url, expected in (
        ("", "postgres://u@h/db", "(6000, 60) (3000000, 60)"),
        ("true", "postgres://u@h/db", "None None"),
        ("", "sqlite://:memory:", "None None"),
    ):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("THROTTLE_")}
        said = subprocess.check_output(  # noqa: S603  # our own words
            [sys.executable, "-c", shown], env={**kept, "DEBUG": debug, NAME: url}, cwd=BASE_DIR, text=True
        )
        assert said.strip() == expected


@pytest.mark.parametrize(
    ("primary", "replica", "complaint"),
    [
        ("sqlite://:memory:", "postgres://u@r/db", "REPLICA_URL is a postgres://… beside another one in DATABASE_URL"),
        ("postgres://u@h/db", "sqlite://:memory:", "REPLICA_URL is a postgres://… beside another one in DATABASE_URL"),
        ("postgres://u@h/db", "postgres://u:secret@r/", "REPLICA_URL names no database: postgres://…/name"),
    ],
)
def test_a_replica_that_can_be_none_stops_the_start(primary: str, replica: str, complaint: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, str(BASE_DIR / "manage.py"), "check"],
        env={**os.environ, NAME: primary, "REPLICA_URL": replica},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"manage.py: {complaint}\n")


def test_manage_py_says_it_without_a_traceback() -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, str(BASE_DIR / "manage.py"), "migrate"],
        env={**os.environ, NAME: "oracle://u:secret@h/db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"manage.py: {NAME} is neither sqlite:///… nor postgres://…\n"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("WEB_CONCURRENCY", "0"),
        ("PORT", "http"),
        ("HEALTH_PORT", "70000"),
        ("DRAIN_SECONDS", "10s"),
        ("MAX_BODY_BYTES", "-1"),
        ("MAX_BODY_BYTES", "32 MiB"),
        ("STATEMENT_TIMEOUT", "-20"),
        ("CASCADE_TIMEOUT", "1_000"),
        ("SEARCHES_AT_ONCE", "two"),
        ("TRUSTED_PROXIES", "10.0.0.1"),
        ("REPLICA_MAX_LAG", "9" * 5000),
        ("ALLOWED_HOSTS", " , "),
        ("CSRF_TRUSTED_ORIGINS", "ractory.example.com"),
        ("CORS_ALLOWED_ORIGINS", "screens.example.com"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "ab" * 40),
        ("STATIC_ROOT", "/nowhere"),
        ("DATABASE_URL_FILE", "/nowhere"),
    ],
)
def test_a_server_does_not_start_with_it_and_names_it_in_the_last_line(name: str, wrong: str) -> None:
    kept = {other: value for other, value in os.environ.items() if f"{other}_FILE" != name}
    done = subprocess.run(  # our own words
        [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--check-config"],
        cwd=BASE_DIR,
        env={**kept, name: wrong},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("wrong", ["*", "null", "file://", "ftp://a.b", "https://", "https://a.b/", "https://a.b/c"])
@pytest.mark.parametrize("before", ["", "https://a.b,"])
def test_what_is_no_origin_is_refused_beside_others(wrong: str, before: str) -> None:
    for cast in (origins, exact_origins):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            cast(before + wrong)


@pytest.mark.parametrize(
    "odd", ["https://*.a.b", "https://A.b", "https://u@a.b", "https://a.b?c", "https://a b", "https://a.b:x"]
)
def test_an_origin_that_no_browser_sends_may_not_call_the_api(odd: str) -> None:
    with pytest.raises(ValueError, match=re.escape(odd)):
        exact_origins(odd)


def test_origins_may_have_ports_and_addresses() -> None:
    some = ["https://a-1.b_c.example", "http://localhost:3000", "http://192.0.2.1:80", "https://[2001:db8::1]:8443"]
    assert exact_origins(" , ".join(some)) == some
    assert origins("https://*.example.com") == ["https://*.example.com"]


def test_an_empty_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", " "):
        monkeypatch.setenv("SETTING", text)
        assert read("SETTING", number(1, 9), "7") == 7
        assert read("SETTING", hosts, "localhost") == ["localhost"]
        assert read("SETTING", origins) == []
        assert read("SETTING", rate("1/hour")) == (1, 3600)
        with pytest.raises(ImproperlyConfigured, match="Set the SECRET_KEY environment variable"):
            read("SETTING", secret_key)


def test_a_secret_may_be_the_content_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\n")
    monkeypatch.delenv("METRICS_TOKEN", raising=False)
    monkeypatch.setenv("METRICS_TOKEN_FILE", str(file))
    assert read("METRICS_TOKEN", str) == "from the file"
    monkeypatch.setenv("METRICS_TOKEN", "beside it")
    with pytest.raises(ImproperlyConfigured, match="METRICS_TOKEN and METRICS_TOKEN_FILE are both set"):
        read("METRICS_TOKEN", str)
