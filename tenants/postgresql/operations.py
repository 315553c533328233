"""What migrations put into PostgreSQL beside Django's own schema; on SQLite each of these does nothing."""

from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db.migrations.operations import AddConstraint, RunPython, RunSQL
from django.db.migrations.operations.base import Operation

from tenants.postgresql.policies import SCOPED_COMPANY, expose, protect


class _OnPostgreSQL(Operation):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return Operation.describe(self)  # the class and its arguments; theirs name neither


class ForceRowSecurity(_OnPostgreSQL, RunSQL):
    """Puts a table behind the second wall (tenants.postgresql.policies). `column` names the row's company; None for
    rows of users that name none: they are seen with every company only."""

    def __init__(self, table: str, column: str | None = "company_guid") -> None:
        super().__init__(tuple(protect(table, column)), tuple(expose(table)))


class NoteCompany(_OnPostgreSQL, RunSQL):
    """Gives a table of another package a company_guid, which that package knows nothing of: by default the scope's. For
    the rows that are there the first of `sources`, which are sub-selects, that says it counts."""

    def __init__(self, table: str, *sources: str) -> None:
        known = ", ".join(f"({source})" for source in sources)
        forwards = (
            f'ALTER TABLE "{table}" ADD COLUMN company_guid uuid DEFAULT {SCOPED_COMPANY}',
            f'UPDATE "{table}" SET company_guid = coalesce({known})',  # noqa: S608  # a migration's own
        )
        super().__init__(forwards, (f'ALTER TABLE "{table}" DROP COLUMN company_guid',))


class AddCompanyKey(_OnPostgreSQL, RunSQL):
    """`(company_guid, project_guid)` must be those of one row: a parent of another company can't be. ValidateCompanyKey
    looks at the rows that are there, in its own transaction, while others go on writing."""

    def __init__(self, app_label: str, kind: str, parent: str) -> None:
        table, name = f"{app_label}_{kind}", f"{kind}_{parent}_of_company"
        super().__init__(
            f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (company_guid, "{parent}_guid") '
            f'REFERENCES "{app_label}_{parent}" (company_guid, guid) DEFERRABLE INITIALLY DEFERRED NOT VALID',
            f'ALTER TABLE "{table}" DROP CONSTRAINT IF EXISTS "{name}"',
        )


class ValidateCompanyKey(_OnPostgreSQL, RunSQL):
    def __init__(self, app_label: str, kind: str, parent: str) -> None:
        validate = f'ALTER TABLE "{app_label}_{kind}" VALIDATE CONSTRAINT "{kind}_{parent}_of_company"'
        super().__init__(validate, RunSQL.noop)


class DropSimpleKey(_OnPostgreSQL, RunPython):
    """Takes Django's own foreign key away, where a composite one says the same: each costs a look per inserted row."""

    def __init__(self, app_label: str, kind: str, parent: str) -> None:
        def drop(apps: Any, editor: Any) -> None:
            model = apps.get_model(app_label, kind)
            for name in editor._constraint_names(model, [f"{parent}_guid"], foreign_key=True):
                editor.execute(editor._delete_fk_sql(model, name))

        def add(apps: Any, editor: Any) -> None:
            model = apps.get_model(app_label, kind)
            field = model._meta.get_field(parent)
            editor.execute(editor._create_fk_sql(model, field, "_fk_%(to_table)s_%(to_column)s"))

        super().__init__(drop, add)


class AddCheckNotValid(AddConstraintNotValid):
    """A CHECK that PostgreSQL holds new rows to; ValidateCheck looks at those that are there. SQLite does both here."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        add = AddConstraintNotValid if schema_editor.connection.vendor == "postgresql" else AddConstraint
        add.database_forwards(self, app_label, schema_editor, from_state, to_state)


class ValidateCheck(_OnPostgreSQL, ValidateConstraint):
    pass
