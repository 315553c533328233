import django.db.models.deletion
import uuid_utils.compat
from django.db import migrations, models

import tenants.models
from tenants.postgresql.operations import ForceRowSecurity

OPERATIONS = ('sync', 'import', 'edit', 'delete', 'restore')


class Migration(migrations.Migration):

    dependencies = [
        ('pieces', '0009_deletion_company_index'),
        ('tenants', '0006_row_level_security'),
    ]

    operations = [
        migrations.CreateModel(
            name='Act',
            fields=[
                ('guid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('operation', models.CharField(choices=[(name, name.capitalize()) for name in OPERATIONS], max_length=10)),
                ('actor', models.CharField(max_length=300)),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('run_guid', models.UUIDField(editable=False, null=True)),
                ('at', models.DateTimeField()),
                ('position', models.BigIntegerField()),
                ('company', tenants.models.GuidForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.company')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['company', 'position', 'guid'], name='act_in_order'),
                    models.Index(condition=models.Q(('run_guid__isnull', False)), fields=['run_guid'], name='act_by_run'),
                ],
            },
        ),
        ForceRowSecurity('pieces_act'),
        migrations.AddField(
            model_name='deletion',
            name='act_guid',
            field=models.UUIDField(editable=False, null=True),
        ),
    ]
