from importlib import import_module

from django.db import migrations, models

purging = import_module('pieces.migrations.0002_purging')


class Migration(migrations.Migration):
    atomic = False  # the index is built beside writers

    dependencies = [
        ('sync', '0014_fault_kinds'),
    ]

    operations = [
        purging.AddIndexBesideWriters(
            'syncrun',
            models.Index(
                condition=models.Q(operation__in=['sync', 'import'], status='succeeded', dry_run=False),
                fields=['company', 'guid'],
                name='run_that_brought_data',
            ),
        ),
    ]
