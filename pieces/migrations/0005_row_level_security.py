from django.db import migrations

from tenants.postgresql.operations import ForceRowSecurity


class Migration(migrations.Migration):

    dependencies = [
        ('pieces', '0004_validate_company_keys'),
        ('tenants', '0006_row_level_security'),
    ]

    operations = [
        ForceRowSecurity(f'pieces_{name}') for name in ('deletion', 'project', 'component', 'assembly', 'piece')
    ]
