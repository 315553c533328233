# ruff: noqa: E402  # the environment comes before the imports that read it
"""What all tests share: the environment they run in, the database they run on, a client and two companies."""

import os

from bench.server import UNLIMITED
from ractory import garbage_collection

garbage_collection.run_seldom()

for name in (
    *("DEBUG", "BEHIND_TLS", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "MAX_BODY_BYTES", "TRUSTED_PROXIES"),
    *("LOG_FORMAT", "LOG_LEVEL", "METRICS_TOKEN", "WEB_CONCURRENCY", "PORT", "PROMETHEUS_MULTIPROC_DIR"),
    *("REPLICA_URL", "REPLICA_MAX_LAG", "PGBOUNCER", "CORS_ALLOWED_ORIGINS"),
):
    os.environ.pop(name, None)  # a developer's own settings are not the tests'
os.environ |= UNLIMITED
os.environ["SECRET_KEY"] = "tests-only-Wq3vN8xTz6LkR1mYc5HdJ0sGfB9aUeP2iKoQ7rVt4XnZyMw"  # noqa: S105  # no secret
os.environ["DJANGO_SETTINGS_MODULE"] = "ractory.settings"

import django

django.setup()  # before pytest-django would: what is imported below needs the models

from collections.abc import Iterator

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings
from django.test.client import ClientHandler

from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.scope import every_company, within
from tenants.tests.commands import Manage
from tenants.tests.factories import CompanyFactory, UserFactory, issue_key

MANY = 500  # rows


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, on SQLite, what needs PostgreSQL; not "skipped": the other run has it."""
    if connection.vendor == "postgresql":
        return
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("postgresql")]


def pytest_collection_finish() -> None:
    """The collector has no look at what has been imported, as in a server's workers."""
    garbage_collection.tune()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite in a file, as in production: an in-memory one would be shared between threads as one connection."""
    if connection.vendor == "sqlite":
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connections.settings["default"]["TEST"]["NAME"] = str(path)


@pytest.fixture(scope="session", autouse=True)
def _fast() -> Iterator[None]:
    """Passwords are hashed in no time; static files are looked for when asked for, not listed anew for each client."""
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, WHITENOISE_AUTOREFRESH=True):
        yield


def _emptied(case: TransactionTestCase) -> None:
    """By DELETE: Django's TRUNCATE makes new files for all tables and indexes, a tenth of a second for a few rows.

    Where many went it comes as well, or the tests to come would look through what has been deleted. Either without the
    signal that writes the permissions anew, which nothing here reads; a content type is made when it is asked for.
    """
    deleted = 0
    with every_company(), transaction.atomic(), connection.cursor() as cursor:  # its end checks the foreign keys
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names
            deleted += cursor.rowcount
    if deleted > MANY:
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False, inhibit_post_migrate=True)
    ContentType.objects.clear_cache()


@pytest.fixture(scope="session", autouse=True)
def _quickly_emptied() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", _emptied)
        yield


@pytest.fixture(autouse=True)
def _bystander(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test sees every company; the requests that it makes start without a scope, as a server's do."""
    monkeypatch.setattr(ClientHandler, "__call__", within(None)(ClientHandler.__call__))
    with every_company():
        yield


@pytest.fixture(autouse=True)
def _first_numbers() -> None:
    """Names that factories number start anew: a test has the same ones, whichever ran before it."""
    for factory in (CompanyFactory, UserFactory, ProjectFactory, ComponentFactory, AssemblyFactory, PieceFactory):
        factory.reset_sequence()


@pytest.fixture
def api() -> Api:
    """A client without credentials: see its `with_key` and `with_user`."""
    return Api()


@pytest.fixture
def company(db: None) -> Company:
    return CompanyFactory.create()


@pytest.fixture
def other_company(db: None) -> Company:
    return CompanyFactory.create()


@pytest.fixture
def key(company: Company) -> str:
    """The text of an API key of `company` that may read and write."""
    return issue_key(company)


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str]) -> Manage:
    """Runs `manage.py` with these arguments."""
    return Manage(capsys)
