from importlib import import_module

from django.db import migrations

from tenants.postgresql.operations import DropSimpleKey, ValidateCompanyKey

KEYS = import_module('pieces.migrations.0003_company_keys').KEYS


class Migration(migrations.Migration):
    # Each statement by itself: rows are looked at while others write, and locks are held for a moment only. It can be
    # run again after a failure.
    atomic = False

    dependencies = [
        ('pieces', '0003_company_keys'),
    ]

    operations = [
        *(ValidateCompanyKey('pieces', kind, parent) for kind, parent in KEYS),
        *(DropSimpleKey('pieces', kind, parent) for kind, parent in KEYS),
        # Whatever is in a project of its company is of a company that exists.
        *(DropSimpleKey('pieces', kind, 'company') for kind in ('component', 'assembly', 'piece')),
    ]
