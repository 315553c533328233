from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0013_import_of_complete_set'),
    ]

    operations = [
        # With a default of the database's: workers of the version before, which know nothing of it, go on meanwhile.
        migrations.AddField(
            model_name='syncrun',
            name='fault_kinds_json',
            field=models.TextField(db_default='[]', default='[]'),
        ),
    ]
