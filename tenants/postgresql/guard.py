"""Refuses a database whose role or tables make policies mere decoration, or whose schema is not this version's: by a
system check of databases, and before a server's process uses its first connection. Not with DEBUG."""

import logging
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.migrations.executor import MigrationExecutor
from django.utils.version import get_version_tuple

from ractory import __version__
from tenants.postgresql.policies import unprotected

logger = logging.getLogger(__name__)

OLDEST_APP = "ractory"  # of the mark that `migrate` leaves

_passed: set[str] = set()  # aliases of databases


class Refused(OperationalError):
    """The database is one that may not be used: for a request, as if it were away."""


@register(Tags.database)
def check_second_wall(databases: Any = None, **kwargs: Any) -> list[Error]:
    """Tables without a policy are no fault while there are migrations to apply: one of these may bring it."""
    faults = []
    for alias in () if settings.DEBUG else databases or ():
        if connections[alias].vendor == "postgresql":
            executor = MigrationExecutor(connections[alias])
            is_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
            faults += _faults_of(connections[alias], with_tables=is_migrated)
    return faults


def _faults_of(connection: BaseDatabaseWrapper, *, with_tables: bool) -> list[Error]:
    faults, above = [], "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
    for (role,) in connection.cursor().execute(above):
        said = f"Row-level security does not hold for the database role {role!r}"
        hint = "Let the application's role own its database and be neither (docs/operations.md)."
        faults.append(Error(f"{said}: it is a superuser, or has BYPASSRLS.", hint=hint, id="ractory.E001"))
    if with_tables and (tables := unprotected(connection)):
        said = f"Row-level security is not forced on {', '.join(tables)}, as the migrations leave it."
        faults.append(Error(said, hint="Migrate; if that changes nothing, see docs/operations.md.", id="ractory.E002"))
    return faults


def schema_faults(connection: BaseDatabaseWrapper) -> list[Error]:
    """What keeps this version from serving on the schema that is there. The oldest version that may serve stands among
    the migrations applied, as one of an app that does not exist: `migrate` of a version to come says it to this one."""
    executor = MigrationExecutor(connection)
    # One that nobody has migrated yet has no schema that could be another version's.
    if executor.loader.applied_migrations and (missing := executor.migration_plan(executor.loader.graph.leaf_nodes())):
        lacks = f"{len(missing)} migrations up to {missing[-1][0]}"
        said = f"Ractory {__version__} is too new for this database, which lacks {lacks}."
        return [Error(said, hint="Run manage.py migrate.", id="ractory.E003")]
    needed = [name for app, name in executor.loader.applied_migrations if app == OLDEST_APP]
    newest = max([__version__, *needed], key=get_version_tuple)
    if newest != __version__:
        said = f"Ractory {__version__} is too old for this database, which was migrated for {newest}."
        return [Error(said, hint="Install that version, or restore a backup of before.", id="ractory.E004")]
    return []


def guard_server() -> None:
    """From now on this process looks at a database before it uses it. ImproperlyConfigured for one that is unfit."""
    if settings.DEBUG:
        return
    connection_created.connect(_look_at)
    for alias in connections:
        connection = connections[alias].copy()
        try:
            connection.ensure_connection()
        except Refused as refusal:
            raise ImproperlyConfigured(str(refusal)) from refusal
        except (OperationalError, InterfaceError) as error:
            logger.warning("The database %r can't be reached yet, and will be looked at later: %s", alias, error)
        finally:
            connection.close()


def _look_at(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Before this process uses its first connection to a database. Raises Refused."""
    if connection.alias in _passed:
        return
    try:
        wall = _faults_of(connection, with_tables=True) if connection.vendor == "postgresql" else []
        if faults := wall + schema_faults(connection):
            said = " ".join(f"{fault.id}: {fault.msg} {fault.hint}" for fault in faults)
            logger.critical("The database %r is not used: %s", connection.alias, said)
            raise Refused(said)
    except BaseException:
        connection.close()  # or the next one would find it open
        raise
    _passed.add(connection.alias)
