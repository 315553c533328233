"""Each list finds its rows by an index that has them in the list's order: nothing is scanned, nothing sorted."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.models import Entity
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from ractory.api.tests.client import Api
from tenants.models import Company

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

ROWS = 10_000
TOLD = re.compile(r"^SELECT set_config\(.*?\); ")  # what goes before a statement in the same message
TEXTS = ("barcode", "profile_code", "trolley", "trolley_cell")


@pytest.fixture
def family(company: Company, other_company: Company) -> dict[str, Entity]:
    """One of each level, with a tenth of its company's rows below it; another company has as many rows."""
    _fill(other_company, ROWS)
    _fill(company, ROWS)
    family = _fill(company, ROWS // 10)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return family


def _fill(company: Company, rows: int) -> dict[str, Entity]:
    """`rows` of each level in one family. Updates came in batches of a hundred, one a minute."""
    texts = {name: f"'{name}-' || n %% 20" for name in TEXTS}
    piece = PieceFactory.create(company=company, **dict.fromkeys(TEXTS, "one"))
    family = {"project": piece.project, "component": piece.component, "assembly": piece.assembly, "piece": piece}
    codes = {"project": {"code": "'P' || n"}, "component": {"code": "'C' || n"}, "piece": texts}
    for kind, row in family.items():
        copies(row, rows, updated_at="now() - interval '1 minute' * (n / 100)", **codes.get(kind, {}))
    return family


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Without those that are run once, before: the second wall's look at its setting."""
    yield plan
    for child in plan.get("Plans", ()):
        if child["Parent Relationship"] != "InitPlan":
            yield from _nodes(child)


def plan_of(api: Api | Client, path: str, table: str) -> list[dict[str, Any]]:
    """The nodes of the plan of the statement by which the list at `path` reads its rows."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert api.get(path).status_code == 200
    statements = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + TOLD.sub("", statements[-1]))
        (plan,) = cursor.fetchone() or ("[]",)
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return list(_nodes(plan[0]["Plan"]))


def index_of(api: Api, path: str, table: str) -> str:
    """The one index that the list at `path` uses. Fails if its rows are scanned or sorted."""
    nodes = plan_of(api, path, table)
    kinds = {node["Node Type"] for node in nodes}
    assert kinds <= {"Limit", "Index Scan", "Index Only Scan"}, nodes
    (index,) = {node["Index Name"] for node in nodes if "Index Name" in node}
    return str(index)


LISTS = {
    "": "{kind}_company_guid",
    "?ordering=-guid": "{kind}_company_guid",
    "?ordering=updated_at": "{kind}_by_updated_at",
    "?ordering=-updated_at": "{kind}_by_updated_at",
    "?ordering=updated_at&updated_since=2020-01-01": "{kind}_by_updated_at",
}


def test_each_list_reads_its_rows_in_order_from_an_index(api: Api, key: str, family: dict[str, Entity]) -> None:
    api.with_key(key)
    filters = {
        ("project", "?code=P7"): "project_by_code",
        ("component", "?code=C7"): "component_by_code",
        ("component", "?project_guid={project}"): "component_by_project",
        ("assembly", "?project_guid={project}"): "assembly_by_project",
        ("assembly", "?component_guid={component}"): "assembly_by_component",
        ("piece", "?project_guid={project}"): "piece_by_project",
        ("piece", "?component_guid={component}"): "piece_by_component",
        ("piece", "?assembly_guid={assembly}"): "piece_by_assembly",
        ("piece", "?piece_id=copy-7"): "piece_by_piece_id",
        **{("piece", f"?{name}={name}-7"): f"piece_by_{name}" for name in TEXTS},
    }
    guids = {kind: row.guid for kind, row in family.items()}
    plurals = {"project": "projects", "component": "components", "assembly": "assemblies", "piece": "pieces"}
    for kind, plural in plurals.items():
        wanted = {query: index.format(kind=kind) for query, index in LISTS.items()}
        wanted |= {query: index for (level, query), index in filters.items() if level == kind}
        path, table = f"/api/v1/{plural}", f"pieces_{kind}"
        used = {query: index_of(api, path + query.format(**guids), table) for query in wanted}
        assert used == wanted


def test_the_next_page_begins_in_the_index_where_the_last_one_ended(
    api: Api, key: str, family: dict[str, Entity]
) -> None:
    api.with_key(key)
    for query in ("limit=5", "limit=5&ordering=updated_at", "limit=5&ordering=-updated_at"):
        path = f"/api/v1/pieces?{query}"
        for _ in range(3):
            link = api.get(path).headers["Link"]
            path = link[link.index("/api/") : link.index(">")]
        nodes = plan_of(api, path, "pieces_piece")
        (scan,) = [node for node in nodes if "Index Name" in node]
        assert "Sort" not in {node["Node Type"] for node in nodes}
        assert re.search(r"guid\)? [<>]", scan["Index Cond"]), scan


def test_what_changed_of_late_is_found_by_an_index(api: Api, key: str, family: dict[str, Entity]) -> None:
    """In the order of the guids: what is sorted, if anything, is only what has changed."""
    since = family["project"].updated_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    nodes = plan_of(api.with_key(key), f"/api/v1/pieces?updated_since={since}", "pieces_piece")
    assert "piece_by_updated_at" in {node.get("Index Name") for node in nodes}


def test_an_offset_is_counted_in_an_index_and_large_objects_are_fetched_by_their_guids(
    api: Api, key: str, family: dict[str, Entity]
) -> None:
    api.with_key(key)
    assert index_of(api, "/api/v1/pieces?offset=1000", "pieces_piece") == "piece_company_guid"
    nodes = plan_of(api, "/api/v1/pieces?detail=true&limit=1000", "pieces_piece")  # the second statement
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}


def test_no_index_can_find_parts_of_texts_below_row_level_security(
    api: Api, key: str, family: dict[str, Entity]
) -> None:
    """Why `search` has none: the policy goes first, and LIKE is not leakproof."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("CREATE EXTENSION pg_trgm")
        cursor.execute("CREATE INDEX by_trigrams ON pieces_piece USING gin ((upper(barcode)) gin_trgm_ops)")
        cursor.execute("SET LOCAL enable_seqscan = off")
        plans = {}
        for forced in ("FORCE", "NO FORCE"):
            cursor.execute(f"ALTER TABLE pieces_piece {forced} ROW LEVEL SECURITY")
            cursor.execute("EXPLAIN SELECT guid FROM pieces_piece WHERE upper(barcode) LIKE '%%ODE-7%%'")
            plans[forced] = "by_trigrams" in "\n".join(line for (line,) in cursor.fetchall())
    assert plans == {"FORCE": False, "NO FORCE": True}
