"""The lists of the four levels: what is found in them and how, in which order, whose, and by which index."""

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.models import Piece
from pieces.tests.copies import copies
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family
from pieces.tests.test_indexes import plan_of
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/pieces/piece/"
ROW = re.compile(r'<th class="field-\w+.*?>\s*<a [^>]*>(.*?)</a>', re.DOTALL)


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def rows(client: Client, query: str = "", kind: str = "piece") -> list[str]:
    """The names of what is listed, from the top."""
    answer = client.get(f"/admin/pieces/{kind}/{query}")
    assert answer.status_code == 200, answer
    return ROW.findall(answer.content.decode())


@pytest.fixture
def pieces(company: Company) -> list[Piece]:
    project = ProjectFactory.create(company=company, code="2026-17", company_name="Sommer, Ulm")
    component = ComponentFactory.create(project=project)
    texts = (("W1-2", "40001"), ("W1-10", "40002"), ("w1-3", None), ("W2-1", "50001"), ("W%", None))
    return [PieceFactory.create(component=component, piece_id=name, barcode=code) for name, code in texts]


def test_lists_are_called_what_they_list(staff: Client) -> None:
    for kind, name in (("project", "Projects"), ("assembly", "Assemblies"), ("piece", "Pieces")):
        page = staff.get(f"/admin/pieces/{kind}/").content.decode()
        assert f"<title>{name} | Ractory" in re.sub(r"\s+", " ", page).replace("<title> ", "<title>")
        assert f"Select {kind}" not in page


def test_a_search_finds_what_begins_so_in_its_order(staff: Client, pieces: list[Piece], foreign: Family) -> None:
    with every_company():
        Piece.objects.filter(guid=foreign.piece.guid).update(piece_id="W1-theirs", barcode="40009")
    found = {
        "W1": ["W1-10", "W1-2"],
        "w1": ["w1-3"],  # as typed goes first
        "w2": ["W2-1"],  # then in capitals
        "4000": ["W1-2", "W1-10"],  # by barcode
        "W1-2": ["W1-2"],
        "W%": ["W%"],
        "1": [],  # begins, not contains
    }
    assert {text: rows(staff, f"?q={text.replace('%', '%25')}") for text in found} == found
    for text in ("sommer", "2026-1"):  # what is of that customer, or in that project
        assert sorted(rows(staff, f"?q={text}")) == ["W%", "W1-10", "W1-2", "W2-1", "w1-3"]
    for text, kind in (("2026", "project"), ("Somm", "project"), ("somm", "component")):
        assert len(rows(staff, f"?q={text}", kind)) == 1
    assert rows(staff, "?q=W1&project=2026-17&trolley=none") == []
    assert sorted(rows(staff, "?q=W1&project=2026-17")) == ["W1-10", "W1-2"]
    nothing = text_of(staff.get(f"{LIST}?q=nope"))
    assert "Nothing here begins with “nope”." in nothing
    assert "Create" not in nothing


@pytest.mark.parametrize("text", ["\0", "x" * 5000, "\U0010ffff", "'; --", "<b>", "%00"])
def test_a_search_takes_any_text(staff: Client, pieces: list[Piece], text: str) -> None:
    assert staff.get(LIST, {"q": text, "project": text}).status_code == 200


def test_pieces_are_filtered_by_project(staff: Client, pieces: list[Piece]) -> None:
    PieceFactory.create(company=pieces[0].company, piece_id="elsewhere")
    assert len(rows(staff, "?project=2026")) == len(pieces)
    assert len(rows(staff, "?project=sommer")) == len(pieces)
    assert rows(staff, "?project=1999") == []


def test_a_list_is_sorted_by_what_has_an_index_only(staff: Client, pieces: list[Piece]) -> None:
    page = staff.get(LIST).content.decode()
    columns = re.findall(r'<a href="\?o=(\d+)" class="sorts">([\w ]+)</a>', page)
    assert [name for _, name in columns] == ["Piece id", "Changed"]
    [by_name, by_time] = [number for number, _ in columns]
    names = [piece.piece_id for piece in pieces]
    assert rows(staff, f"?o={by_name}") == sorted(names)
    assert rows(staff, f"?o=-{by_name}") == sorted(names, reverse=True)
    assert rows(staff, f"?o={by_time}") == names
    assert rows(staff) == names[::-1]
    with CaptureQueriesContext(connection) as queries:
        for order in ("2", "6.7", "-7", "0", "99", "x", "."):
            staff.get(f"{LIST}?o={order}")
        staff.get(f"{LIST}?o={by_name}&trolley=T1")
    ordered = {sql.rpartition("ORDER BY")[2].split(" LIMIT")[0] for sql in _of_pieces(queries)}
    assert {re.sub(r'"pieces_piece"\.|"| ASC', "", order).strip() for order in ordered} <= {
        *("piece_id, guid", "updated_at DESC, guid DESC", "guid DESC", "guid")
    }


def _of_pieces(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if 'FROM "pieces_piece"' in query["sql"]]


def test_who_sees_all_companies_sees_whose_a_row_is(staff: Client, family: Family, foreign: Family) -> None:
    root = system_admin()
    for kind in ("project", "component", "assembly", "piece"):
        page = root.get(f"/admin/pieces/{kind}/").content.decode()
        assert "column-company" in page
        assert foreign.piece.company.name in page
        assert family.piece.company.name in page
        assert not rows(root, f"?q={str(foreign[kind])[:-1]}", kind) or kind == "assembly"  # whole values only
        assert "column-company" not in staff.get(f"/admin/pieces/{kind}/").content.decode().replace("company_name", "")
    assert rows(root, f"?q={foreign.piece}") == [str(foreign.piece)]
    assert rows(staff, f"?q={foreign.piece}") == []


@pytest.mark.postgresql
def test_no_search_scans_or_sorts_the_pieces(staff: Client, family: Family, foreign: Family) -> None:
    for piece in (foreign.piece, family.piece):
        copies(piece, 5000, piece_id="'W' || n", barcode="'40' || n")
    with every_company(), connection.cursor() as cursor:
        family.project.company_name = "Sommer"
        family.project.save()
        cursor.execute("ANALYZE")
    indexes = {
        "q=W": "piece_by_piece_id",
        "q=40": "piece_by_barcode",
        "q=Somm": None,  # whichever: all are of that customer
        "o=1": "piece_by_piece_id",
        "o=-1": "piece_by_piece_id",
        "o=8": "piece_by_updated_at",
        "": "piece_by_updated_at",
    }
    for query, index in indexes.items():
        with CaptureQueriesContext(connection) as queries:
            staff.get(f"{LIST}?{query}")
        assert len(queries) <= 12, query
        nodes = plan_of(staff, f"{LIST}?{query}", "pieces_piece")
        about = [node for node in nodes if node.get("Relation Name", "pieces_piece") == "pieces_piece"]
        assert not [node for node in about if node["Node Type"] in ("Seq Scan", "Sort")], (query, nodes)
        used = {node.get("Index Name") for node in nodes} & set(indexes.values()) - {None}
        assert used == ({index} if index else set()), query


def test_the_looks_of_a_search_are_as_many_among_thousands(staff: Client, family: Family) -> None:
    def taken(query: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(f"{LIST}?{query}").status_code == 200
        assert not any("COUNT(" in query["sql"] for query in queries)
        return len(queries)

    queries = ("q=piece", "q=nope", "project=P", "q=piece&project=P", "q=P-")
    taken("")
    few = [taken(query) for query in queries]
    copies(family.piece, 300)
    assert [taken(query) for query in queries] == few
    assert max(few) <= 9


@pytest.mark.parametrize("field", ["trolley", "trolley_cell"])
def test_a_full_cell_leads_to_all_of_its_pieces(staff: Client, family: Family, field: str) -> None:
    copies(family.piece, 40, **{field: "'T 1'"})
    assert "Show all" not in text_of(staff.get(f"{LIST}find/?q=T 1"))
    copies(family.piece, 40, piece_id="'more-' || n", **{field: "'T 1'"})
    with CaptureQueriesContext(connection) as queries:
        page = staff.get(f"{LIST}find/?q=t 1").content.decode()
    assert len(queries) <= 12
    [link] = re.findall(r'href="/admin/pieces/piece/(\?trolley[^"]*)"', page)
    both = [*rows(staff, html.unescape(link)), *rows(staff, f"{html.unescape(link)}&p=2")]
    assert len(both) == len(set(both)) == 80


def test_who_sees_all_companies_sees_whose_is_found(staff: Client, family: Family, foreign: Family) -> None:
    for piece in (family.piece, foreign.piece):
        copies(piece, 1, piece_id="'same'")
    page = text_of(system_admin().get(f"{LIST}find/?q=same"))
    for piece in (family.piece, foreign.piece):
        assert f"{piece.project} › {piece.component} {piece.company.name}" in page
