from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('pieces', '0016_index_customers'),
    ]

    operations = [
        migrations.AlterModelOptions(name='deletion', options={'verbose_name_plural': 'trash'}),
    ]
