from importlib import import_module

from django.db import migrations, models

purging = import_module('pieces.migrations.0002_purging')
OPERATIONS = ('sync', 'import', 'edit', 'delete', 'restore', 'undo', 'complete')


class Migration(migrations.Migration):
    atomic = False  # the index is built beside writers

    dependencies = [
        ('pieces', '0012_history'),
    ]

    operations = [
        migrations.AddField(model_name='act', name='undoes', field=models.UUIDField(editable=False, null=True)),
        migrations.AlterField(
            model_name='act',
            name='operation',
            field=models.CharField(choices=[(name, name.capitalize()) for name in OPERATIONS], max_length=10),
        ),
        purging.AddIndexBesideWriters(
            'act',
            models.Index(condition=models.Q(('undoes__isnull', False)), fields=['undoes'], name='act_by_undone_run'),
        ),
    ]
