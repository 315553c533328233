"""Settings that are not understood: the start fails, in the words of one line that give no secret away."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from ractory.settings import BASE_DIR, database

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
        *((url, "is neither sqlite:///… nor postgres://…") for url in ("", "x", "://", "oracle://u:secret@h/db")),
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


def test_manage_py_says_it_without_a_traceback() -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, str(BASE_DIR / "manage.py"), "migrate"],
        env={**os.environ, NAME: "oracle://u:secret@h/db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"manage.py: {NAME} is neither sqlite:///… nor postgres://…\n"
