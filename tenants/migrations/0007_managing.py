from django.db import migrations, models


def switch_off_revoked(apps, schema_editor):
    """What is revoked is not active; until now `revoked_at` alone said so."""
    apps.get_model('tenants', 'ApiKey').objects.filter(revoked_at__isnull=False).update(is_active=False)


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0006_row_level_security'),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='is_active',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name='company',
            name='short_name',
            field=models.CharField(blank=True, max_length=50, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='name',
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='surname',
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.RunPython(switch_off_revoked, migrations.RunPython.noop),
    ]
