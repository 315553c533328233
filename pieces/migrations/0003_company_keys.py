from django.db import migrations, models

from tenants.postgresql.operations import AddCompanyKey

KEYS = (
    ('project', 'deletion'),
    *(('component', parent) for parent in ('project', 'deletion')),
    *(('assembly', parent) for parent in ('project', 'component', 'deletion')),
    *(('piece', parent) for parent in ('project', 'component', 'assembly', 'deletion')),
)


class Migration(migrations.Migration):

    dependencies = [
        ('pieces', '0002_purging'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='deletion',
            constraint=models.UniqueConstraint(fields=('company', 'guid'), name='deletion_company_guid'),
        ),
        *(AddCompanyKey('pieces', kind, parent) for kind, parent in KEYS),
    ]
