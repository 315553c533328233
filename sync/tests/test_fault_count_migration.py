"""Receipts that an older version wrote: their faults are counted, what a client sent is cut, and then bounds hold."""

import json
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from sync.models import SyncRun
from tenants.models import Company

KEY = f"rfk_{'k' * 36}"

pytestmark = pytest.mark.django_db(transaction=True)


def run_of(company: Company, model: Any = SyncRun, **columns: Any) -> Any:
    about = {"company_guid": company.guid, "entity": "pieces", "status": "rejected", "http_status": 422, "actor": "x"}
    return model._base_manager.create(**about, **columns)


def fault(name: str) -> dict[str, Any]:
    return {"loc": ["body", "pieces", 0, name], "msg": f"Unknown field \0 {name}", "type": "extra_forbidden"}


def test_old_receipts_are_counted_and_cut(company: Company) -> None:
    call_command("migrate", "sync", "0004", verbosity=0)
    old = MigrationExecutor(connection).loader.project_state([("sync", "0004_fault_count")]).apps
    run = partial(run_of, company, old.get_model("sync", "SyncRun"))
    try:
        plain = run(errors_json=json.dumps([fault("a"), fault("b")]))
        none = run()
        secret = run(errors_json=json.dumps([fault(KEY)]), ignored_json=json.dumps([KEY]))
        names = [f"{n:03}" + "x" * 20_000 for n in range(150)]
        long = run(errors_json=json.dumps([fault("y" * 500_000)]), ignored_json=json.dumps(names))
        assert [each.fault_count for each in run.args[1]._base_manager.all()] == [0, 0, 0, 0]
    finally:
        call_command("migrate", "sync", verbosity=0)
    assert [each.fault_count for each in SyncRun.objects.order_by("guid")] == [2, 0, 1, 1]
    for one in (plain, none):
        kept = SyncRun.objects.get(guid=one.guid)
        assert (kept.errors_json, kept.ignored_json) == (one.errors_json, one.ignored_json)
    assert SyncRun.objects.get(guid=secret.guid).as_wire()["ignored_fields"] == ["[secret]"]
    assert KEY[4:] not in SyncRun.objects.get(guid=secret.guid).errors_json
    receipt = SyncRun.objects.get(guid=long.guid).as_wire()
    assert receipt["ignored_fields"] == [f"{n:03}" + "x" * 97 for n in range(100)]
    assert receipt["errors"][0]["loc"] == ["body", "pieces", 0, "y" * 100]


@pytest.mark.parametrize("column", ["errors_json", "ignored_json"])
def test_no_receipt_can_be_longer_than_its_bounds(company: Company, column: str) -> None:
    with pytest.raises(IntegrityError, match="_bounded"), transaction.atomic():
        run_of(company, **{column: json.dumps(["x" * 500_000])})
    assert connection.is_usable()
