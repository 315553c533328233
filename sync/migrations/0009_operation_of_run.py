from django.db import migrations, models

OPERATIONS = ('sync', 'import', 'edit', 'delete', 'restore', 'undo', 'complete')


def fill(apps, schema_editor):
    """Receipts of files and of changes by hand, by what their acts say; acts are kept for longer than receipts."""
    Act, Run = apps.get_model('pieces', 'Act'), apps.get_model('sync', 'SyncRun')
    for operation in ('import', 'edit'):
        Run.objects.filter(guid__in=Act.objects.filter(operation=operation).values('run_guid')).update(
            operation=operation
        )


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0008_acts_of_runs'),
        ('pieces', '0013_undo'),
    ]

    operations = [
        migrations.AddField(
            model_name='syncrun',
            name='operation',
            field=models.CharField(
                choices=[(name, name.capitalize()) for name in OPERATIONS], default='sync', max_length=10
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
