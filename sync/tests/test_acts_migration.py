"""Rows that were written before acts were kept get those of the runs that changed them last."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from pieces.models import LEVELS, Act, Project
from pieces.tests.factories import ProjectFactory
from sync.models import SyncRun
from sync.tests.batches import act_of, row_of
from tenants.models import Company
from tenants.tests.factories import CompanyFactory

pytestmark = pytest.mark.django_db(transaction=True)
RUN = {"entity": "projects", "status": "succeeded", "http_status": 200, "request_id": "r"}


def written_in(project: Any, run: uuid.UUID | None) -> None:
    guids = [guid and (guid if connection.vendor == "postgresql" else guid.hex) for guid in (run, project.guid)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_project SET changed_in = %s WHERE guid = %s", guids)


def test_rows_that_are_there_get_an_act_and_hardly_any_is_written(company: Company) -> None:
    elsewhere = CompanyFactory.create()
    known, forgotten, unknown, mixed = (ProjectFactory.create(company=company) for _ in range(4))
    mixed_too = ProjectFactory.create(company=elsewhere)
    run = SyncRun.across_companies.create(company=company, actor="import:x.csv", **RUN)
    both = SyncRun.across_companies.create(company=None, actor="user:root", **RUN)
    gone = uuid.UUID("01934f00-0000-7000-8000-000000000000")
    for project, guid in ((known, run.guid), (forgotten, gone), (mixed, both.guid), (mixed_too, both.guid)):
        written_in(project, guid)
    call_command("migrate", "sync", "0007", verbosity=0)
    try:
        call_command("migrate", "pieces", "0009", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    act = act_of(row_of("project", known.guid))
    assert (act.guid, act.run_guid, act.operation, act.at) == (run.guid, run.guid, "import", run.started_at)
    act = act_of(row_of("project", forgotten.guid))
    assert (act.guid, act.actor, act.at) == (gone, "unknown", datetime.fromtimestamp(0x01934F000000 / 1000, UTC))
    assert act_of(row_of("project", unknown.guid)).company_guid == company.guid
    acts = [act_of(row_of("project", project.guid)) for project in (mixed, mixed_too)]
    assert {act.company_guid for act in acts} == {company.guid, elsewhere.guid}
    assert {act.run_guid for act in acts} == {both.guid}
    for model in LEVELS:
        assert not model.across_companies.filter(changed_in=None).exists()
    assert set(Act.across_companies.values_list("position", flat=True)) == {0}
    assert [row.updated_at for row in Project.across_companies.order_by("guid")] == sorted(
        project.updated_at for project in (known, forgotten, unknown, mixed, mixed_too)
    )
