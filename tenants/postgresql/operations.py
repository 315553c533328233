"""What migrations put into PostgreSQL beside Django's own schema; on SQLite each of these does nothing."""

from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddConstraint
from django.db.migrations.operations.base import Operation

from tenants.postgresql.policies import SCOPED_COMPANY, expose, protect


class _OnPostgreSQL(Operation):
    """An operation on the table of one model, or on a table by name; the state of the models stays as it is."""

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            self.forwards(schema_editor, app_label, to_state.apps)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            self.backwards(schema_editor, app_label, to_state.apps)

    def forwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        raise NotImplementedError

    def backwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        """Nothing to undo."""


class ForceRowSecurity(_OnPostgreSQL):
    """Puts a table behind the second wall (tenants.postgresql.policies).

    `column` names the row's company; None for rows of users that name none: they are seen with every company only.
    """

    def __init__(self, table: str, column: str | None = "company_guid") -> None:
        self.table, self.column = table, column

    def forwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        for sql in protect(self.table, self.column):
            editor.execute(sql)

    def backwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        for sql in expose(self.table):
            editor.execute(sql)

    def describe(self) -> str:
        return f"Force row-level security on {self.table}"


class NoteCompany(_OnPostgreSQL):
    """Gives a table of another package a company_guid, which that package knows nothing of: by default the scope's.

    `sources` are sub-selects that say it for the rows that are there; the first one that does counts.
    """

    def __init__(self, table: str, *sources: str) -> None:
        self.table, self.sources = table, sources

    def forwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        editor.execute(f'ALTER TABLE "{self.table}" ADD COLUMN company_guid uuid DEFAULT {SCOPED_COMPANY}')
        known = ", ".join(f"({source})" for source in self.sources)
        editor.execute(f'UPDATE "{self.table}" SET company_guid = coalesce({known})')  # noqa: S608  # a migration's own

    def backwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        editor.execute(f'ALTER TABLE "{self.table}" DROP COLUMN company_guid')

    def describe(self) -> str:
        return f"Note the company of each row of {self.table}"


class _OnRelation(_OnPostgreSQL):
    """An operation on a relation of a model, by the model's and the foreign key's names."""

    def __init__(self, model_name: str, relation: str) -> None:
        self.model_name, self.relation = model_name, relation

    @property
    def name(self) -> str:
        """Of the composite key's constraint."""
        return f"{self.model_name}_{self.relation}_of_company"

    def found(self, app_label: str, apps: Any) -> tuple[Any, Any]:
        """The model and the field."""
        model = apps.get_model(app_label, self.model_name)
        return model, model._meta.get_field(self.relation)


class AddCompanyKey(_OnRelation):
    """`(company_guid, project_guid)` must be those of one row: a parent of another company can't be.

    NOT VALID: the rows that are there are looked at by ValidateCompanyKey, in a transaction of its own, without
    keeping others from writing meanwhile.
    """

    def forwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        model, field = self.found(app_label, apps)
        editor.execute(
            f'ALTER TABLE "{model._meta.db_table}" ADD CONSTRAINT "{self.name}" '
            f'FOREIGN KEY (company_guid, "{field.column}") '
            f'REFERENCES "{field.related_model._meta.db_table}" (company_guid, guid) '
            "DEFERRABLE INITIALLY DEFERRED NOT VALID"
        )

    def backwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        model, _ = self.found(app_label, apps)
        editor.execute(f'ALTER TABLE "{model._meta.db_table}" DROP CONSTRAINT IF EXISTS "{self.name}"')

    def describe(self) -> str:
        return f"Add the composite foreign key {self.name}"


class ValidateCompanyKey(_OnRelation):
    def forwards(self, editor: BaseDatabaseSchemaEditor, app_label: str, apps: Any) -> None:
        model, _ = self.found(app_label, apps)
        editor.execute(f'ALTER TABLE "{model._meta.db_table}" VALIDATE CONSTRAINT "{self.name}"')

    def describe(self) -> str:
        return f"Validate the composite foreign key {self.name}"


class DropSimpleKey(_OnRelation):
    """Takes Django's own foreign key away, where a composite one says the same: each costs a look per inserted row."""

    def forwards(self, editor: Any, app_label: str, apps: Any) -> None:
        model, field = self.found(app_label, apps)
        for name in editor._constraint_names(model, [field.column], foreign_key=True):
            editor.execute(editor._delete_fk_sql(model, name))

    def backwards(self, editor: Any, app_label: str, apps: Any) -> None:
        model, field = self.found(app_label, apps)
        editor.execute(editor._create_fk_sql(model, field, "_fk_%(to_table)s_%(to_column)s"))

    def describe(self) -> str:
        return f"Drop the foreign key of {self.model_name}.{self.relation} that a composite one implies"


class AddCheckNotValid(AddConstraintNotValid):
    """A CHECK that PostgreSQL holds new rows to; ValidateCheck looks at those that are there. SQLite does both here."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            AddConstraint.database_forwards(self, app_label, schema_editor, from_state, to_state)


class ValidateCheck(ValidateConstraint):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
