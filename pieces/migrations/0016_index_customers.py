from importlib import import_module

from django.db import migrations, models

purging = import_module('pieces.migrations.0002_purging')


class Migration(migrations.Migration):
    atomic = False  # the index is built beside writers

    dependencies = [
        ('pieces', '0015_index_feed'),
    ]

    operations = [
        purging.AddIndexBesideWriters(
            'project',
            models.Index(
                condition=models.Q(('company_name__isnull', False)),
                fields=['company', 'company_name', 'guid'],
                name='project_by_company_name',
            ),
        ),
    ]
