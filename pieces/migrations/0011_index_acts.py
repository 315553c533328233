from importlib import import_module

from django.db import migrations, models

purging = import_module('pieces.migrations.0002_purging')


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside writers

    dependencies = [
        ('pieces', '0010_acts'),
    ]

    operations = [
        purging.AddIndexBesideWriters(kind, models.Index(fields=['changed_in'], name=f'{kind}_by_act'))
        for kind in ('project', 'component', 'assembly', 'piece')
    ]
