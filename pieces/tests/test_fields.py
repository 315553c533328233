"""`fields=` of a list and of a single object: these fields, read from the database, and no others."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.models import LEVELS, Entity
from pieces.tests.families import KINDS, Family, family_of, list_path, path_of
from ractory.api.tests.client import Api

pytestmark = pytest.mark.django_db


def selected(queries: CaptureQueriesContext, table: str) -> set[str]:
    """The columns that the statements on this table read."""
    reads = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
    return {column for sql in reads for column in re.findall(r'"(\w+)"', sql.partition(" FROM ")[0])} - {table}


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_each_field_of_the_full_object_can_be_chosen(reader: Api, family: Family, model: type[Entity]) -> None:
    family_of(family.project.company)
    path = path_of(family[model.kind.value])
    full = reader.get(path).json()
    listed = {item["guid"]: item for item in reader.get(list_path(model), {"detail": "true"}).json()}
    for name in full:
        assert reader.get(path, {"fields": name}).json() == {name: full[name]}
        chosen = reader.get(list_path(model), {"fields": name}).json()
        assert chosen == [{name: item[name]} for item in listed.values()]
    every = {"fields": ",".join(full)}
    assert reader.get(path, every).json() == full
    assert reader.get(list_path(model), every).json() == list(listed.values())


def test_only_the_columns_of_the_fields_and_of_the_order_are_read(reader: Api, family: Family) -> None:
    wanted: list[tuple[dict[str, str], set[str]]] = [
        ({"fields": "barcode,outer_length"}, {"barcode", "outer_length", "guid"}),
        ({"fields": "barcode", "ordering": "-piece_id"}, {"barcode", "piece_id", "guid"}),
        ({"fields": "barcode", "detail": "true"}, {"barcode", "guid"}),
    ]
    for query, columns in wanted:
        with CaptureQueriesContext(connection) as queries:
            reader.get("/api/v1/pieces", query)
        assert selected(queries, "pieces_piece") == columns
    with CaptureQueriesContext(connection) as queries:
        reader.get(path_of(family.piece), {"fields": "barcode"})
    assert selected(queries, "pieces_piece") == {"barcode"}


def test_what_is_not_chosen_is_not_counted(reader: Api, family: Family) -> None:
    for fields, counted in (("code", set()), ("piece_count", {"piece"}), ("component_count", {"component"})):
        for path in (path_of(family.project), "/api/v1/projects"):
            with CaptureQueriesContext(connection) as queries:
                answer = reader.get(path, {"fields": fields}).json()
            assert (answer if isinstance(answer, dict) else answer[0]).keys() == {fields}
            levels = ("component", "assembly", "piece")
            assert {kind for kind in levels if selected(queries, f"pieces_{kind}")} == counted


def test_pages_go_on_where_the_order_is_not_among_the_fields(reader: Api, family: Family) -> None:
    made = [family.piece, *(family_of(family.project.company, barcode=f"B{n}").piece for n in range(4))]
    codes, address = [], "/api/v1/pieces?fields=piece_id&ordering=-barcode,updated_at&limit=2"
    while address:
        answer = reader.get(address)
        codes += [item["piece_id"] for item in answer.json()]
        address = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert sorted(codes) == sorted(piece.piece_id for piece in made)
    assert codes[:4] == [piece.piece_id for piece in made[:0:-1]]


BAD: list[tuple[str, str]] = [
    *((text, "field_unknown") for text in ("", ",", "guid,", " guid", "guid, code", "GUID", "*", "pk", "company")),
    *(
        (text, "field_unknown")
        for text in ("digest", "deletion_guid", "created_in", "project__code", "guid\0", "x" * 5000)
    ),
    *((text, "field_twice") for text in ("guid,guid", "guid,code,guid")),
]


@pytest.mark.parametrize(("text", "code"), BAD, ids=lambda text: ascii(text)[:40])
def test_what_is_no_list_of_fields_is_a_422(reader: Api, family: Family, text: str, code: str) -> None:
    for path in (path_of(family.component), "/api/v1/components"):
        answer = reader.get(path, {"fields": text})
        assert answer.status_code == 422
        faults: list[dict[str, Any]] = answer.json()["detail"]
        assert [(fault["loc"], fault["type"]) for fault in faults] == [(["query", "fields"], code)]
        assert len(faults[0]["msg"]) < 300


def test_a_field_of_another_entity_is_unknown(reader: Api, family: Family) -> None:
    assert reader.get("/api/v1/projects", {"fields": "picture"}).status_code == 422
    assert reader.get("/api/v1/pieces", {"fields": "piece_count"}).status_code == 422
    assert reader.get(path_of(family.assembly), {"fields": "code"}).status_code == 422


def test_nobody_asks_for_fields_where_there_is_nothing_to_show(reader: Api, family: Family) -> None:
    assert reader.delete(f"{path_of(family.piece)}?fields=nonsense").status_code == 204
