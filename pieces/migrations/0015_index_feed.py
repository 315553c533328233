from importlib import import_module

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models
from django.db.migrations.operations import RemoveIndex

purging = import_module('pieces.migrations.0002_purging')


class RemoveIndexBesideWriters(RemoveIndexConcurrently):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != 'postgresql':
            return RemoveIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
        return super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != 'postgresql':
            return RemoveIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
        return super().database_backwards(app_label, schema_editor, from_state, to_state)


KINDS = ('project', 'component', 'assembly', 'piece')


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside writers

    dependencies = [
        ('pieces', '0014_deletion_of_several'),
    ]

    operations = [
        purging.AddIndexBesideWriters('act', models.Index(fields=['position', 'guid'], name='act_in_order_of_all')),
        *(
            purging.AddIndexBesideWriters(kind, models.Index(fields=['changed_in', 'guid'], name=f'{kind}_in_act'))
            for kind in KINDS
        ),
        *(RemoveIndexBesideWriters(kind, f'{kind}_by_act') for kind in KINDS),
    ]
