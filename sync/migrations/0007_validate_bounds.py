from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class ValidateBound(ValidateConstraint):
    """On SQLite there is nothing left to do."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == 'postgresql':
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False  # each statement by itself, without a lock that keeps others from writing

    dependencies = [
        ('sync', '0006_bound_receipts'),
    ]

    operations = [
        ValidateBound('syncrun', name='run_errors_bounded'),
        ValidateBound('syncrun', name='run_ignored_bounded'),
    ]
