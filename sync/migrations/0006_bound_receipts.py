from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.migrations.operations import AddConstraint
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual


class AddBound(AddConstraintNotValid):
    """On PostgreSQL the rows that are there are looked at by the next migration, while others write."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        kind = AddConstraintNotValid if schema_editor.connection.vendor == 'postgresql' else AddConstraint
        kind.database_forwards(self, app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0005_fill_fault_count'),
    ]

    operations = [
        AddBound(
            model_name='syncrun',
            constraint=models.CheckConstraint(
                condition=LessThanOrEqual(Length('errors_json'), 400000), name='run_errors_bounded'
            ),
        ),
        AddBound(
            model_name='syncrun',
            constraint=models.CheckConstraint(
                condition=LessThanOrEqual(Length('ignored_json'), 70000), name='run_ignored_bounded'
            ),
        ),
    ]
