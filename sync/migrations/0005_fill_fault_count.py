"""Receipts that are there get their number of faults, and the limits of new ones: what a client sent is cut in them."""

import orjson
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Length

from ractory.api.redaction import KEY_PREFIX, redacted

SLICE = 1000  # receipts in a statement, each of which is a transaction: nobody waits for long
CUT, LISTED, MESSAGE = 100, 100, 500
LONG = 70_000  # characters of JSON; faults of that length may be within their limit: they are cut again, to the same


class CountOfList(models.Func):
    """json, not jsonb: that one refuses the escaped NULs that a client may have sent."""

    function = 'json_array_length'
    output_field = models.IntegerField()

    def as_postgresql(self, compiler, connection, **context):
        return self.as_sql(compiler, connection, template='json_array_length(CAST(%(expressions)s AS json))', **context)


def fill(apps, schema_editor):
    runs = apps.get_model('sync', 'SyncRun').objects.order_by('guid')
    rest = runs
    while guids := list(rest.values_list('guid', flat=True)[:SLICE]):
        faulty = runs.filter(guid__gte=guids[0], guid__lte=guids[-1], fault_count=0).exclude(errors_json='[]')
        faulty.order_by().update(fault_count=CountOfList('errors_json'))
        rest = runs.filter(guid__gt=guids[-1])
    cut_long_ones(runs)


def cut_long_ones(runs):
    secret = Q(ignored_json__contains=KEY_PREFIX) | Q(ignored_json__contains='eyJ')
    lengths = {'errors': Length('errors_json'), 'ignored': Length('ignored_json')}
    found = runs.annotate(**lengths).filter(Q(errors__gt=LONG) | Q(ignored__gt=LONG) | secret)
    for guid in list(found.values_list('guid', flat=True)):
        run = runs.get(guid=guid)  # one at a time: a single one may have 30 MB
        faults = [
            fault | {'loc': [cut(part) for part in fault['loc']], 'msg': redacted(fault['msg'][:MESSAGE])}
            for fault in orjson.loads(run.errors_json)[:LISTED]
        ]
        names = sorted({cut(name) for name in orjson.loads(run.ignored_json)})[:LISTED]
        run.errors_json, run.ignored_json = orjson.dumps(faults).decode(), orjson.dumps(names).decode()
        run.save(update_fields=['errors_json', 'ignored_json'])


def cut(part):
    return redacted(part[: 10 * CUT])[:CUT] if isinstance(part, str) else part


class Migration(migrations.Migration):
    atomic = False  # it can be run again after a failure

    dependencies = [
        ('sync', '0004_fault_count'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
