from django.db import migrations, models

from tenants.postgresql.operations import AddCheckNotValid

CONSTRAINTS = {kind: f'{kind}_active_or_in_deletion' for kind in ('project', 'component', 'assembly', 'piece')}


class Migration(migrations.Migration):

    dependencies = [
        ('pieces', '0006_sent_digest'),
    ]

    operations = [
        AddCheckNotValid(
            kind,
            models.CheckConstraint(condition=models.Q(is_active=models.Q(deletion__isnull=True)), name=name),
        )
        for kind, name in CONSTRAINTS.items()
    ]
