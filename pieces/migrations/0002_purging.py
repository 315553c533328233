from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.operations import AddIndex


class AddIndexBesideWriters(AddIndexConcurrently):
    """On PostgreSQL writers go on meanwhile. Run again after a failure, it begins anew."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != 'postgresql':
            return AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}')
        return super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != 'postgresql':
            return AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
        return super().database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('pieces', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='deletion',
            name='purged_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        *(
            AddIndexBesideWriters(
                model_name=kind,
                index=models.Index(
                    condition=models.Q(('deletion__isnull', False)), fields=['deletion'], name=f'{kind}_by_deletion'
                ),
            )
            for kind in ('project', 'component', 'assembly', 'piece')
        ),
    ]
