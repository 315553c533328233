from django.db import migrations

from tenants.postgresql.operations import ForceRowSecurity


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0005_sessions'),
    ]

    operations = [
        ForceRowSecurity('tenants_company', 'guid'),
        ForceRowSecurity('tenants_user'),
        ForceRowSecurity('tenants_apikey'),
        ForceRowSecurity('tenants_loginsession', None),
    ]
