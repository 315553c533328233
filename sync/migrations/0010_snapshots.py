import django.db.models.deletion
import tenants.models
import uuid_utils.compat
from django.db import migrations, models

from tenants.postgresql.operations import ForceRowSecurity


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0009_operation_of_run'),
        ('tenants', '0006_row_level_security'),
    ]

    operations = [
        migrations.CreateModel(
            name='Snapshot',
            fields=[
                ('guid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('entity', models.CharField(max_length=20)),
                ('project_guid', models.UUIDField(null=True)),
                ('component_guid', models.UUIDField(null=True)),
                ('assembly_guid', models.UUIDField(null=True)),
                ('max_deleted', models.CharField(max_length=10)),
                ('seen_by_database', models.TextField()),
                ('actor', models.CharField(max_length=300)),
                ('opened_at', models.DateTimeField()),
                ('run_guid', models.UUIDField(null=True)),
                ('seen', models.PositiveIntegerField(null=True)),
                ('deleted', models.PositiveIntegerField(null=True)),
                ('company', tenants.models.GuidForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.company')),
            ],
        ),
        migrations.CreateModel(
            name='SeenBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('guids', models.BinaryField()),
                ('company', tenants.models.GuidForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.company')),
                ('snapshot', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='batches', to='sync.snapshot')),
            ],
        ),
        *(ForceRowSecurity(f'sync_{name}') for name in ('snapshot', 'seenbatch')),
    ]
