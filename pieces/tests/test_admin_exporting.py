"""Lists as files for a spreadsheet: whose rows, which of them, what their cells say, and at what cost."""

import csv
import io
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from pieces.admin import exporting
from pieces.models import Piece
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import Family
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company, within
from tenants.tests.factories import UserFactory
from tenants.tests.staff import admin_of, session_of, system_admin

pytestmark = pytest.mark.django_db
LISTS = ("pieces/project", "pieces/component", "pieces/assembly", "pieces/piece", "pieces/deletion", "sync/syncrun")
# What a spreadsheet would run; what no XML holds, and what looks like how that is written; a line break.
NASTY = ("=1+1", "a\x0bb", "_x0041_", "x\r\ny & <b>", "Öl")


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def table(answer: Any) -> list[list[Any]]:
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    with within(None):  # as in a server, whose request has ended when the file goes out
        content = answer.getvalue()
    if answer["Content-Type"].startswith("text/csv"):
        assert content.startswith(b"\xef\xbb\xbf")
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    sheet = load_workbook(io.BytesIO(content)).worksheets[0]
    assert all(cell.data_type in "sn" for row in sheet.iter_rows() for cell in row)
    return [
        [unescape(value) if isinstance(value, str) else "" if value is None else value for value in row]
        for row in sheet.iter_rows(values_only=True)
    ]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_piece_s_cells_are_texts_and_numbers(staff: Client, company: Company, kind: str) -> None:
    piece = PieceFactory.create(
        company=company, piece_id="P-1", barcode=None, outer_length=-5, info2="", trolley_cell="7"
    )
    titles, row = table(staff.get(f"/admin/pieces/piece/export/all.{kind}?deleted=shown"))
    cells = dict(zip(titles, row, strict=True))
    length = "-5" if kind == "csv" else -5
    assert (cells["Piece id"], cells["Barcode"], cells["Outer length"], cells["Info2"]) == ("P-1", "", length, "")
    assert (cells["Component"], cells["State"], cells["Is active"]) == (piece.component.code, "active", "true")
    assert (cells["Guid"], cells["Project guid"]) == (str(piece.guid), str(piece.project_guid))
    assert cells["Changed"] == cells["Updated at"] == piece.updated_at.isoformat()
    assert cells["Trolley cell"] == "7"  # a text of digits stays one
    assert (
        table(staff.get(f"/admin/pieces/piece/export/shown.{kind}?deleted=shown"))[0]
        == titles[: titles.index("Changed") + 1]
    )


@pytest.mark.parametrize("text", NASTY)
def test_texts_arrive_as_they_are_and_formulas_do_not_run(staff: Client, company: Company, text: str) -> None:
    PieceFactory.create(company=company, profile_code=text)
    assert text in table(staff.get("/admin/pieces/piece/export/shown.xlsx"))[1]
    cell = "\\=1+1" if text == "=1+1" else text
    assert cell in table(staff.get("/admin/pieces/piece/export/shown.csv"))[1]


def test_a_file_has_all_pages_of_the_list_as_filtered_and_ordered(staff: Client, family: Family) -> None:
    copies(family.piece, 60, profile_code="'X-' || (n %% 2)")
    PieceFactory.create(company=family.piece.company, piece_id="elsewhere")
    query = f"?assembly_guid={family.assembly.guid}&profile_code=X-1"
    rows = table(staff.get(f"/admin/pieces/piece/export/shown.csv{query}"))[1:]
    assert sorted(row[0] for row in rows) == sorted(f"copy-{n}" for n in range(1, 61, 2))
    page = staff.get(f"/admin/pieces/piece/{query}").content.decode()
    assert f"export/all.xlsx{query.replace('&', '&amp;')}" in page
    first = [row[0] for row in rows]
    assert [page.index(f">{name}<") for name in first] == sorted(page.index(f">{name}<") for name in first)


@pytest.mark.parametrize(
    ("path", "status"),
    [("shown.pdf", 404), ("some.csv", 404), ("shown.csv?assembly_guid=x", 404), ("shown.csv?info2__contains=x", 400)],
)
def test_what_is_no_list_is_no_file(staff: Client, path: str, status: int) -> None:
    assert staff.get(f"/admin/pieces/piece/export/{path}").status_code == status
    assert staff.post(f"/admin/pieces/piece/export/{path}").status_code == 405


@pytest.mark.parametrize("name", LISTS)
def test_each_list_takes_the_same_queries_for_many_and_has_nothing_of_others(
    staff: Client, company: Company, family: Family, foreign: Family, name: str
) -> None:
    def delete(client: Client, family: Family, copy: str) -> None:
        copies(family.piece, 1, piece_id=f"'{copy}'")
        with every_company():
            guid = Piece.objects.get(piece_id=copy).guid
        assert client.post("/admin/pieces/piece/remove/", {"guid": str(guid)}).status_code == 302

    def taken(client: Client, kind: str = "csv") -> tuple[int, list[list[Any]]]:
        with CaptureQueriesContext(connection) as queries:
            rows = table(client.get(f"/admin/{name}/export/all.{kind}"))
        return len(queries), rows

    root = system_admin()
    delete(staff, family, "own")
    delete(root, foreign, "theirs")
    taken(staff)  # content types and the like are remembered
    queries, one = taken(staff)
    assert 2 <= len(one) <= 3  # the titles, and what there is of the company
    queries_of_root, both = taken(root)
    assert len(both) == 2 * len(one) - 1
    for member in (family.project, family.component, family.assembly, family.piece):
        copies(member, 20)
    for number in range(3):
        delete(staff, family, f"own-{number}")
    assert taken(root)[0] == queries_of_root
    for kind in ("csv", "xlsx"):
        count, many = taken(staff, kind)
        assert count == queries
        assert len(many) > len(one)
        assert len({tuple(row) for row in many}) == len(many)
        assert not {"Picture", "Digest", "Errors json"} & set(many[0])
        others = (str(foreign.project.company_guid), "theirs", str(foreign.piece.guid))
        assert not [row for row in many if set(others) & set(map(str, row))]


def test_the_trash_and_the_runs_say_who_and_what_in_words(staff: Client, family: Family) -> None:
    staff.post("/admin/pieces/component/remove/", {"guid": str(family.component.guid)})
    titles, row = table(staff.get("/admin/pieces/deletion/export/shown.csv"))
    cells = dict(zip(titles, row, strict=True))
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00"
    assert (cells["Deleted"], cells["With it went"]) == (f"component {family.component.code}", "1 assembly, 1 piece")
    assert re.fullmatch(rf"{when} user\d+@example.com ", f"{cells['When']} {cells['By']} {cells['State']}")
    titles, row = table(staff.get("/admin/sync/syncrun/export/shown.xlsx"))
    assert re.fullmatch(rf"{when}\|Deletion of .*\|done\|.* deleted\|\d+ ms\|user.*", "|".join(row))


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.INTEGRATION, Role.PROJECT_MANAGER])
def test_who_sees_a_list_may_take_it_along(company: Company, family: Family, role: Role) -> None:
    client = session_of(UserFactory.create(company=company, role=role))
    for name in LISTS:
        seen = client.get(f"/admin/{name}/").status_code
        assert client.get(f"/admin/{name}/export/shown.csv").status_code == seen
        assert seen == (403 if name.endswith("deletion") and role != Role.PROJECT_MANAGER else 200)
    assert Client().get("/admin/pieces/piece/export/shown.csv").status_code == 302


def test_a_file_goes_out_in_parts_and_ends_where_a_sheet_ends(
    staff: Client, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(family.piece, 50)
    monkeypatch.setattr(exporting, "CHUNK", 10)
    parts = iter(staff.get("/admin/pieces/piece/export/shown.csv"))
    assert sum(part.count(b"\r\n") for part in (next(parts), next(parts))) == 11
    assert len(list(parts)) == 5
    monkeypatch.setattr(exporting, "MAX_ROWS", 45)
    rows = table(staff.get("/admin/pieces/piece/export/shown.xlsx"))
    assert len(rows) == 1 + 40 + 1
    assert rows[-1][0] == exporting.FULL


@pytest.mark.postgresql
def test_the_query_ends_when_the_client_has_gone(
    staff: Client, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(family.piece, 50)
    monkeypatch.setattr(exporting, "CHUNK", 10)

    def cursors() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_cursors WHERE NOT is_holdable AND name LIKE '_django%%'", [])
            return int(cursor.fetchone()[0])

    answer: Any = staff.get("/admin/pieces/piece/export/shown.csv")
    parts = iter(answer)
    assert next(parts) + next(parts)
    assert cursors() == 1
    answer._iterator.close()  # what Django's own close() ends with, which would close the test's connection, too
    assert cursors() == 0
