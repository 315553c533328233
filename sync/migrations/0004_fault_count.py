from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0003_row_level_security'),
    ]

    operations = [
        # With a default of the database's: workers of the version before, which know nothing of it, go on meanwhile.
        migrations.AddField(
            model_name='syncrun',
            name='fault_count',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
