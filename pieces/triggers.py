"""The triggers by which the database keeps what an UPDATE replaces. They name every column of an entity, so they are
made anew after each `migrate` (pieces.apps), not by migrations."""

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pieces.models import HISTORIES, NO_ACT, Entity, Pictured

# One statement for all rows of an UPDATE; what was measured is in docs/decisions/0021-history.md. Who writes by hand
# does not stamp the row: then it is the clock that says when, but never a moment at which the state was not there yet.
POSTGRESQL = """
BEGIN
    INSERT INTO {history} ({columns}, replaced_in, replaced_at)
    SELECT {values}, {act},
        CASE WHEN is_now.updated_at > was.updated_at THEN is_now.updated_at
            ELSE GREATEST(clock_timestamp(), was.updated_at + interval '1 microsecond') END
    FROM old_rows AS was JOIN new_rows AS is_now ON is_now.guid = was.guid;
    RETURN NULL;
END
"""
# SQLite's clock has milliseconds: the end of one comes after all that was stamped in it.
SQLITE = """CREATE TRIGGER {name} AFTER UPDATE ON {table} BEGIN
    INSERT INTO {history} ({columns}, replaced_in, replaced_at)
    VALUES ({values}, {act},
        CASE WHEN new.updated_at > old.updated_at THEN new.updated_at
            ELSE max(strftime('%Y-%m-%d %H:%M:%f999', 'now'), old.updated_at) END);
END"""


def install(using: str, **_: Any) -> None:
    """Makes the triggers that are missing, or are not as they should be: after `migrate`."""
    connection = connections[using]
    execute, missing = connection.cursor().execute, missing_triggers(connection)
    for model in HISTORIES:
        name, table, body = _name(model), model._meta.db_table, _body(connection, model)
        if name in missing and connection.vendor == "sqlite":
            execute(f"DROP TRIGGER IF EXISTS {name}")
            execute(body)
        elif name in missing:
            execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
            execute(
                f"CREATE OR REPLACE TRIGGER {name} AFTER UPDATE ON {table} "
                f"REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION {name}()"
            )


def remove(using: str, plan: Any = (), **_: Any) -> None:
    """Before `migrate` changes something: SQLite can't make a table anew that a trigger of another one names."""
    connection = connections[using]
    if plan and connection.vendor == "sqlite":
        for model in HISTORIES:
            connection.cursor().execute(f"DROP TRIGGER IF EXISTS {_name(model)}")


def missing_triggers(connection: BaseDatabaseWrapper) -> set[str]:
    """The names of those that are not there, are switched off, or do not do what they should."""
    question = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    if connection.vendor == "postgresql":
        question = (
            "SELECT tgname, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgenabled IN ('O', 'A')"
        )
    there = dict(connection.cursor().execute(question).fetchall())
    return {name for model in HISTORIES if there.get(name := _name(model)) != _body(connection, model)}


def _name(model: type[Entity]) -> str:
    return f"{model.kind}_history"


def _body(connection: BaseDatabaseWrapper, model: type[Entity]) -> str:
    """What the trigger does, in the words of the database."""
    is_sqlite = connection.vendor == "sqlite"
    columns = [str(field.column) for field in model._meta.concrete_fields]
    # PL/pgSQL would take `old` and `new` for its own variables.
    was, is_now, differs = ("old", "new", "IS NOT") if is_sqlite else ("was", "is_now", "IS DISTINCT FROM")
    values = [f"{was}.{column}" for column in columns]
    if issubclass(model, Pictured):  # large, and rarely changed
        picture = f"CASE WHEN {was}.picture_digest {differs} {is_now}.picture_digest THEN {was}.picture END"
        values[columns.index("picture")] = picture
    return (SQLITE if is_sqlite else POSTGRESQL).format(
        name=_name(model),
        table=model._meta.db_table,
        history=HISTORIES[model]._meta.db_table,
        columns=", ".join(columns),
        values=", ".join(values),
        act=f"coalesce({is_now}.changed_in, '{NO_ACT.hex}')",
    )
