"""Rows that were written before acts were kept get one: that of the run which changed them last, by the same guid.

So hardly a row is written, and nobody waits: only rows that name no run at all, and those of a run over several
companies, of which each has an act of its own. All of it may be run again after a failure.
"""

from datetime import UTC, datetime

from django.db import migrations
from django.db.models import Exists, OuterRef
from django.utils import timezone
from uuid_utils.compat import uuid7

SLICE = 5000  # rows in a statement, each of which is a transaction
LEVELS = ('Project', 'Component', 'Assembly', 'Piece')


def fill(apps, schema_editor):
    Act, Run = apps.get_model('pieces', 'Act'), apps.get_model('sync', 'SyncRun')
    levels = [apps.get_model('pieces', name) for name in LEVELS]
    rest = runs = Run.objects.filter(status='succeeded', dry_run=False, company__isnull=False).order_by('guid')
    while some := list(rest[:SLICE].values('guid', 'company_guid', 'actor', 'request_id', 'started_at')):
        Act.objects.bulk_create((act_of_run(Act, **run) for run in some), ignore_conflicts=True)
        rest = runs.filter(guid__gt=some[-1]['guid'])
    for level in levels:
        names_an_act = Exists(Act.objects.filter(guid=OuterRef('changed_in'), company_guid=OuterRef('company_guid')))
        orphans = level._base_manager.filter(~names_an_act, changed_in__isnull=False).order_by()
        for guid, company in list(orphans.values_list('changed_in', 'company_guid').distinct()):
            act_of_orphans(Act, Run, levels, guid, company)
    for level in levels:
        unknown = level._base_manager.filter(changed_in=None)
        for company in list(unknown.order_by().values_list('company_guid', flat=True).distinct()):
            act = act_of(Act, company=company, actor='unknown', at=timezone.now())
            while some := list(unknown.filter(company_guid=company).values_list('guid', flat=True)[:SLICE]):
                level._base_manager.filter(guid__in=some, changed_in=None).update(changed_in=act.guid)


def act_of_run(Act, guid, company_guid, actor, request_id, started_at):
    operation = 'import' if actor.startswith('import:') else 'sync'
    return Act(
        guid=guid, run_guid=guid, company_guid=company_guid, operation=operation, actor=actor, request_id=request_id,
        at=started_at, position=0,
    )


def act_of(Act, *, company, actor, at, **values):
    return Act.objects.create(company_guid=company, operation='sync', actor=actor, at=at, position=0, **values)


def act_of_orphans(Act, Run, levels, guid, company):
    """For a run over several companies, or one whose receipt is gone: its guid says when it was."""
    run = Run.objects.filter(guid=guid).first()
    about = {
        'run_guid': guid,
        'actor': run.actor if run else 'unknown',
        'request_id': run.request_id if run else '',
        'at': run.started_at if run else datetime.fromtimestamp((guid.int >> 80) / 1000, UTC),
    }
    if not Act.objects.filter(guid=guid).exists():
        act_of(Act, guid=guid, company=company, **about)
        return
    if Act.objects.filter(guid=guid, company_guid=company).exists():  # made for a level above
        return
    act = act_of(Act, guid=uuid7(), company=company, **about)
    for level in levels:
        level._base_manager.filter(changed_in=guid, company_guid=company).update(changed_in=act.guid)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('sync', '0007_validate_bounds'),
        ('pieces', '0011_index_acts'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
