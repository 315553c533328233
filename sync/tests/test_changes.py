"""`pieces/changes.py` is the only module that writes rows of the entities, and each write names its act."""

import ast
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from pieces.models import LEVELS, Act
from pieces.tests.families import Family, family_of, path_of
from ractory.api.tests.client import Api
from sync.tests.batches import Sync, act_of, component_item, full_piece, row_of
from tenants.caller import Role
from tenants.scope import every_company
from tenants.tests.factories import UserFactory

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "pieces/changes.py"
TOOLS = {ROOT / "pieces/bulk.py"}  # what the door writes with
WRITES = {
    *("update", "save", "create", "delete", "get_or_create", "update_or_create"),
    *("bulk_create", "bulk_update", "_raw_delete", "asave", "aupdate", "acreate", "adelete"),
}
# Whose rows these are, or what else has a method of that name: none of them is an entity.
OTHERS = {
    *(
        "SyncRun",
        "FileImport",
        "IdempotentAnswer",
        "Deletion",
        "Act",
        "Company",
        "User",
        "ApiKey",
        "LogEntry",
        "LoginSession",
        "Counter",
        "Feed",
        "Snapshot",
        "SeenBatch",
        "UploadPart",
    ),
}


def modules() -> list[Path]:
    found = [path for package in ("ractory", "tenants", "pieces", "sync") for path in (ROOT / package).rglob("*.py")]
    return [path for path in found if not {"tests", "migrations"} & set(path.parts)]


def written_by(source: str) -> list[str]:
    """The calls that may write rows of an entity: those of a write's name on a manager or a queryset of unknown rows,
    and SQL in a text that names a table of theirs."""
    tables = [f"pieces_{model.kind.value}" for model in LEVELS]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            chain = ast.unparse(node.func.value)
            if any(f"{manager}." in f"{chain}." for manager in ("objects", "all_objects", "across_companies")):
                if chain.partition(".")[0] not in OTHERS and chain.partition(".")[0] != "cls":
                    found.append(ast.unparse(node))
            elif node.func.attr.lstrip("a").startswith(("bulk_", "_raw_delete")):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.upper().split()
            if {"INSERT", "UPDATE", "DELETE"} & set(words[:1]) and any(table in node.value for table in tables):
                found.append(node.value)
    return found


def test_no_other_module_writes_rows_of_the_entities() -> None:
    found = {
        str(path.relative_to(ROOT)): calls
        for path in modules()
        if path != DOOR and path not in TOOLS and (calls := written_by(path.read_text()))
    }
    assert found == {}
    assert len(written_by(DOOR.read_text())) >= 4  # it is able to see them


@pytest.mark.parametrize(
    "source",
    [
        "Piece.objects.filter(guid=guid).update(cell='x')",
        "model.all_objects.bulk_create(rows, columns=columns)",
        "level.objects.in_any_of(kind, guids).update(**values)",
        "rows._raw_delete(rows.db)",
        "cursor.execute('UPDATE pieces_piece SET cell = 1')",
    ],
)
def test_a_write_elsewhere_is_seen(source: str) -> None:
    assert written_by(source)


def acts() -> list[Act]:
    return list(Act.across_companies.order_by("guid"))


def test_each_write_names_its_act_on_every_row_that_it_touches(api: Api, key: str, family: Family) -> None:
    """A sync, a move that carries pieces along, a deletion and a restore with their cascades."""
    sync = Sync(api.with_key(key))
    component = component_item(family.project, guid=family.component.guid, code=family.component.code)
    ways: list[tuple[str, Any]] = [
        ("sync", lambda: sync("pieces", full_piece(family.assembly, 0) | {"guid": family.piece.guid})),
        ("delete", lambda: api.delete(path_of(family.component))),
        ("restore", lambda: api.post(f"{path_of(family.component)}/restore")),
        ("sync", lambda: sync("components", component | {"is_active": False})),
        ("sync", lambda: sync("components", component)),
    ]
    for number, (operation, way) in enumerate(ways):
        assert way().status_code in (200, 204)
        act = acts()[-1]
        assert (len(acts()), act.operation) == (number + 1, operation)
        below = ("piece",) if number == 0 else ("component", "assembly", "piece")
        assert {act_of(row_of(kind, family[kind].guid)).guid for kind in below} == {act.guid}


def test_what_changes_nothing_is_no_act(sync: Sync, family: Family) -> None:
    item = full_piece(family.assembly, 1)
    for _ in range(2):
        sync("pieces", item)
    sync("pieces", dict(reversed(item.items())))
    sync("pieces", item | {"cell": "x"}, query="?dry_run=true")
    sync("pieces", item | {"project_guid": item["guid"]})
    assert len(acts()) == 1


def test_a_batch_over_companies_is_an_act_for_each(api: Api, family: Family, other_company: Any) -> None:
    other = family_of(other_company)
    sync = Sync(api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None)))
    items = [
        component_item(each.project, guid=each.component.guid, code=each.component.code, is_active=False)
        for each in (family, other)
    ]
    assert sync("components", *items).status_code == 200
    assert {act.company_guid for act in acts()} == {family.project.company_guid, other_company.guid}
    assert len({act.position for act in acts()}) == (1 if connection.vendor == "postgresql" else 2)
    for each in (family, other):
        for kind in ("component", "assembly", "piece"):
            row = row_of(kind, each[kind].guid)
            assert act_of(row).company_guid == row.company_guid == each.project.company_guid


@pytest.mark.django_db(transaction=True)
def test_the_place_of_an_act_is_the_order_of_commits(sync: Sync, family: Family) -> None:
    for number in range(3):
        sync("pieces", full_piece(family.assembly, number + 1))
    places = [act.position for act in acts()]
    assert places == sorted(set(places))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            assert places[-1] < cursor.fetchone()[0]


def test_a_deletion_belongs_to_its_act(api: Api, key: str, family: Family) -> None:
    api.with_key(key).delete(path_of(family.component))
    with every_company():
        row = row_of("piece", family.piece.guid)
        assert row.deletion.act_guid == row.changed_in == acts()[-1].guid
