from importlib import import_module

from django.db import migrations

from tenants.postgresql.operations import ValidateCheck

CONSTRAINTS = import_module('pieces.migrations.0007_active_or_in_deletion').CONSTRAINTS


class Migration(migrations.Migration):
    # Each statement by itself: rows are looked at while others write. It can be run again after a failure.
    atomic = False

    dependencies = [
        ('pieces', '0007_active_or_in_deletion'),
    ]

    operations = [ValidateCheck(kind, name) for kind, name in CONSTRAINTS.items()]
