"""Uploads: from a file to a receipt, with every fault at its cell; the own company's only, by those who may."""

import csv
import io
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import openpyxl
import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Component, Piece, Project
from pieces.tests.factories import PieceFactory, ProjectFactory
from sync.admin import uploads as pages
from sync.files import uploads
from sync.models import SyncRun, Upload, UploadPart
from sync.tests.files import ndjson, packed, small_piece
from sync.tests.mistakes import csv_of, mistakes_of, rows_of, xlsx_of
from sync.tests.uploading import LIST, brought, decided, faults_on, imported, page_of, uploaded, worked
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company, email="anna@example.com")


def pieces(component: Component, count: int, **fields: Any) -> list[dict[str, Any]]:
    return [small_piece(component, number, **fields) for number in range(count)]


def test_a_file_goes_in_by_columns_that_are_guessed(staff: Client, component: Component) -> None:
    rows = pieces(component, 1500, **{"Länge [mm]": "1200.0", "Bar code": " 007"})
    upload = uploaded(staff, csv_of(rows))
    assert (upload.stage, upload.total, upload.mapping["Länge [mm]"]) == ("columns", 1500, "outer_length")
    assert "11 9 " in text_of(staff.get(page_of(upload)))  # the tenth row, in the eleventh line
    upload = decided(staff, upload, "check")
    assert "1500 rows 1500 to be inserted Checked, and nothing is written yet." in text_of(staff.get(page_of(upload)))
    assert not Piece.objects.exists()
    upload = decided(staff, upload, "import")
    text = text_of(staff.get(page_of(upload)))
    assert "1500 inserted Imported. Runs" in text
    assert (text.count("1000 inserted"), text.count(" 500 inserted")) == (1, 1)
    assert Piece.objects.filter(outer_length=1200, barcode="007").count() == 1500
    runs = SyncRun.objects.filter(request_id=str(upload.guid)).values_list("operation", "actor")
    assert set(runs) == {("import", "user:anna@example.com")}
    again = imported(staff, csv_of(rows))
    assert (again.inserted, again.unchanged) == (0, 1500)  # known by their piece_ids


@pytest.mark.parametrize("made", [csv_of, xlsx_of])
def test_fifty_different_faults_are_each_named_at_its_cell(
    staff: Client, component: Component, made: Callable[..., bytes]
) -> None:
    mistakes = mistakes_of(component)
    assert len(mistakes) == 50
    upload = decided(staff, uploaded(staff, made(rows_of(mistakes, component))), "check")
    faults = zip(faults_on(staff.get(page_of(upload))), mistakes, strict=True)
    found = [(row, column, value[:20], said[: len(one.said)]) for (row, column, value, said), one in faults]
    assert found == [(str(row), one.column, one.value[:20], one.said) for row, one in enumerate(mistakes, start=3)]
    upload = decided(staff, upload, "import")
    assert (upload.stage, upload.inserted, upload.faulty) == ("done", 1, 50)
    assert Piece.objects.filter(piece_id="0").count() == 1


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_refused_rows_are_a_file_to_be_mended_and_uploaded(staff: Client, component: Component, kind: str) -> None:
    """Also what a spreadsheet would run, what says nothing, what says null, and several faults of one row."""
    rows = pieces(component, 3, info2="=1+1", info3="\\N", dealer="")
    rows[1] |= {"outer_length": "12oo", "inner_length": "x", "is_active": "perhaps"}
    with every_company():
        there = PieceFactory.create(assembly=None, component=component, piece_id="1", info3="old", dealer="D")
    upload = imported(staff, csv_of(rows))
    assert (upload.inserted, upload.faulty) == (2, 1)
    answer = staff.get(page_of(upload, f"refused.{kind}"))
    table = table_in(answer.getvalue(), kind)
    assert table[0] == [*upload.columns, "What is wrong"]
    [refused] = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    assert refused["info2"] == ("\\=1+1" if kind == "csv" else "=1+1")
    assert refused["What is wrong"] == (
        "Row 3: is_active: This is neither true nor false: “perhaps”; "
        "outer_length: This is not a whole number: “12oo”; inner_length: This is not a whole number: “x”"
    )
    mended = refused | {"outer_length": "1200", "inner_length": "", "is_active": "ja"}
    again = imported(staff, xlsx_of([mended]) if kind == "xlsx" else csv_of([mended]))
    assert (again.updated, again.faulty, "What is wrong" in again.mapping) == (1, 0, False)
    there.refresh_from_db()
    assert (there.outer_length, there.info2, there.info3, there.dealer) == (1200, "=1+1", None, "D")


def table_in(content: bytes, kind: str) -> list[list[str]]:
    if kind == "csv":
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    assert all(cell.data_type in "sn" for row in sheet.iter_rows() for cell in row)
    return [[value or "" for value in row] for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.ndjson", ndjson),
        ("a.json", orjson.dumps),
        ("a.csv.gz", lambda rows: packed(csv_of(rows, "\t"))),
        ("wrong.xlsx", lambda rows: b"\xef\xbb\xbf" + csv_of([{"Cutting list": ""}]) + csv_of(rows, ",")),
        ("wrong.csv", xlsx_of),
    ],
)
def test_other_formats_are_known_by_what_is_in_them(
    staff: Client, component: Component, name: str, made: Callable[..., bytes]
) -> None:
    with every_company():
        PieceFactory.create(assembly=None, component=component, piece_id="0", dealer="old")
    nothing = None if "json" in name else "\\N"
    upload = imported(staff, made(pieces(component, 3, dealer=nothing, outer_length=1200, is_active=True)), name)
    assert (upload.stage, upload.inserted, upload.updated, upload.faulty) == ("done", 2, 1, 0)
    assert Piece.objects.filter(outer_length=1200, dealer=None).count() == 3


def test_a_table_may_have_a_title_above_it_and_rows_of_another_width(staff: Client, component: Component) -> None:
    """The delimiter is known by what most lines have, not the title; empty cells at an end are no cells."""
    above = f"{component.project_guid};{component.guid}"
    lines = ["Cutting list, week 22", "", "piece_id;project_guid;component_guid;barcode"]
    lines += [f"A;{above};1;;;", f"B;{above}", f"C;{above};3;4"]
    upload = imported(staff, "\n".join(lines).encode())
    assert (upload.inserted, upload.faulty) == (2, 1)
    assert faults_on(staff.get(page_of(upload)))[0][3] == "The header has 4 columns, this row 5"
    refused = staff.get(page_of(upload, "refused.csv")).getvalue().decode()
    assert f'C,{above.replace(";", ",")},3,"Row 6: ' in refused


def test_a_line_that_is_no_json_is_one_refused_row(staff: Client, component: Component) -> None:
    data = ndjson(pieces(component, 1)) + b"[1]\n{\n" + ndjson(pieces(component, 3)[2:])
    upload = imported(staff, data, "a.ndjson")
    assert (upload.inserted, upload.faulty) == (2, 2)
    faults = faults_on(staff.get(page_of(upload)))
    assert faults == [(line, "The whole row", "", "This is no object in JSON") for line in ("2", "3")]


def test_what_stands_twice_in_a_file_is_named_with_the_first_row(staff: Client, component: Component) -> None:
    """In other batches, too, which a dry run does not see."""
    rows = pieces(component, 1100)
    rows[1050] |= {"piece_id": "3"}
    rows[5] |= {"guid": uuid.UUID(int=1)}
    rows[1060] |= {"guid": str(uuid.UUID(int=1)).upper()}
    rows[7] |= {"piece_id": "6"}
    upload = imported(staff, csv_of(rows))
    assert faults_on(staff.get(page_of(upload))) == [
        ("9", "piece_id", "6", "Row 8 has the same piece id"),
        ("1052", "piece_id", "3", "Row 5 has the same piece id"),
        ("1062", "guid", str(uuid.UUID(int=1)).upper(), "Row 7 has the same guid"),
    ]
    assert (upload.inserted, upload.faulty, Piece.objects.count()) == (1097, 3, 1097)


def test_columns_are_chosen_and_remembered(staff: Client, component: Component, other_company: Company) -> None:
    rows = [{"X": one.pop("piece_id"), "Y": "5", **one} for one in pieces(component, 2)]
    data = csv_of(rows)
    upload = uploaded(staff, data)
    assert "No column is “Piece id”, which every row needs." in text_of(staff.get(page_of(upload)))
    upload = decided(staff, upload, "check", Y="project_guid")
    text = text_of(staff.get(page_of(upload)))
    assert upload.stage == "columns"
    assert "No column is “Piece id”" in text
    assert "Two columns are “Project guid”: leave one out." in text
    upload = decided(staff, upload, "check", X="piece_id", Y="outer_length")
    upload = decided(staff, upload, "columns")
    assert "Check all rows" in text_of(staff.get(page_of(upload)))
    upload = decided(staff, decided(staff, upload, "check", Y="bar_rest"), "import")
    assert Piece.objects.filter(bar_rest=5, outer_length=None).count() == 2
    again, theirs = uploaded(staff, data), uploaded(admin_of(other_company), data)
    assert (again.mapping["X"], again.mapping["Y"]) == ("piece_id", "bar_rest")
    assert "X" not in theirs.mapping


def test_projects_go_in_by_their_codes_with_german_dates(staff: Client, company: Company) -> None:
    ProjectFactory.create(company=company, code="A-1")
    rows = [{"Auftrag": code, "Liefertermin": "24.12.2026", "in_production": "nein"} for code in ("A-1", "A-2")]
    upload = imported(staff, csv_of(rows), entity="projects")
    assert (upload.inserted, upload.updated) == (1, 1)
    assert {str(project.due_date) for project in Project.objects.all()} == {"2026-12-24 00:00:00+00:00"}


def test_another_company_s_upload_does_not_exist(staff: Client, component: Component, other_company: Company) -> None:
    """Who may open which page at all: ractory/tests/test_staff_matrix.py."""
    upload = uploaded(staff, csv_of(pieces(component, 1)), "secret.csv")
    foreign = admin_of(other_company)
    for page in ("go-on/", "decide/"):
        assert foreign.post(page_of(upload, page), {"decision": "check"}).status_code == 404
    assert "secret.csv" not in text_of(foreign.get(LIST))
    assert "secret.csv pieces columns to be chosen anna@example.com" in text_of(staff.get(LIST))
    assert staff.get(page_of(upload, "refused.pdf")).status_code == 404


def test_a_system_admin_picks_the_company_first_and_can_go_on_with_any(staff: Client, component: Component) -> None:
    upload, root = brought(staff, csv_of(pieces(component, 1))), system_admin()
    root.post(f"{LIST}new/", {"entity": "pieces", "file": io.BytesIO(b"x")})
    assert "Pick the company beside the search box first." in text_of(root.get(LIST))
    assert Upload.objects.count() == 1
    upload = decided(root, decided(root, worked(root, upload), "check"), "import")
    assert (upload.stage, upload.inserted) == ("done", 1)
    assert Piece.objects.get().company_guid == component.company_guid


def test_a_colleague_goes_on_where_the_page_was_closed(
    staff: Client, company: Company, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request does one batch; whatever page asks for the next one, none is done twice."""
    monkeypatch.setattr(uploads, "BATCH", 10)
    monkeypatch.setattr(pages, "SECONDS", 1e-9)
    upload = brought(staff, xlsx_of(pieces(component, 45)))
    upload = worked(staff, upload, requests=2)
    assert (upload.stage, upload.total) == ("reading", 20)
    assert "being read, 20 rows" in text_of(staff.get(page_of(upload)))
    colleague = admin_of(company)
    upload = decided(colleague, worked(colleague, upload), "check")
    assert upload.total == 45
    staff.post(page_of(upload, "decide/"), {"decision": "import"})
    upload = worked(staff, upload, requests=2)
    assert (upload.stage, upload.rows, Piece.objects.count()) == ("importing", 20, 20)
    assert "being imported, 20 of 45 rows" in text_of(colleague.get(page_of(upload)))
    assert colleague.post(page_of(upload, "go-on/")).status_code == 302  # the button, without a script
    upload = worked(colleague, upload)
    assert (upload.stage, upload.inserted, Piece.objects.count()) == ("done", 45, 45)
    received = SyncRun.objects.filter(request_id=str(upload.guid), dry_run=False).values_list("received", flat=True)
    assert sorted(received) == [5, 10, 10, 10, 10]


def test_a_command_finishes_it(staff: Client, component: Component, manage: Manage) -> None:
    upload = brought(staff, csv_of([*pieces(component, 3), {"piece_id": "x"}]))
    assert manage("finish_upload", upload.guid, "--json").json["state"] == "columns to be chosen"
    decided(staff, worked(staff, upload), "check")
    staff.post(page_of(upload, "decide/"), {"decision": "import"})
    done = manage("finish_upload", upload.guid, "--json").json
    assert (done["state"], done["rows"], done["inserted"], done["faulty"]) == ("imported", 4, 3, 1)
    assert "there is no upload" in manage("finish_upload", uuid.UUID(int=0)).complaint


def test_a_page_takes_the_same_queries_for_few_and_for_many_rows(staff: Client, component: Component) -> None:
    def queries(count: int) -> list[int]:
        rows = pieces(component, count, outer_length="x")
        upload = imported(staff, csv_of([*rows, *pieces(component, 1)]))
        counts = []
        for path in (page_of(upload), LIST):
            with CaptureQueriesContext(connection) as found:
                assert staff.get(path).status_code == 200
            counts.append(len(found))
        return counts

    few = queries(1)
    assert queries(300) == few
    assert max(few) <= 12


def test_faults_come_page_by_page(staff: Client, component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BATCH", 40)
    upload = decided(staff, uploaded(staff, csv_of(pieces(component, 250, outer_length="x"))), "check")
    text = text_of(staff.get(page_of(upload)))
    assert "No row can be imported as it is." in text
    assert "250 × Outer length This is not a whole number: “x”" in text
    rows: list[str] = []
    for start in (0, 100, 200):
        page = staff.get(f"{page_of(upload)}?from={start}")
        rows += [row for row, *_ in faults_on(page)]
        assert (f"?from={start + 100}#" in page.content.decode()) is (start < 200)
    assert rows == [str(number) for number in range(2, 252)]
    assert staff.get(f"{page_of(upload)}?from=x").status_code == 200


def test_rows_go_after_a_week_and_the_rest_with_the_receipts(
    staff: Client, component: Component, manage: Manage
) -> None:
    done = imported(staff, csv_of([*pieces(component, 1), {"piece_id": "x"}]))
    paused = uploaded(staff, csv_of(pieces(component, 1)))
    assert manage("purge_runs", "--json").json["upload_parts"] == 0
    Upload.objects.update(updated_at=timezone.now() - timedelta(days=8))
    purged = manage("purge_runs", "--json").json
    assert (purged["upload_parts"], purged["uploads"]) == (1, 0)
    assert "The rows are not kept any more." in text_of(staff.get(page_of(done)))
    assert staff.get(page_of(done, "refused.csv")).status_code == 200
    assert UploadPart.objects.get().upload_id == paused.guid
    Upload.objects.update(updated_at=timezone.now() - timedelta(days=91))
    assert manage("purge_runs", "--json").json["uploads"] == 2
    assert not UploadPart.objects.exists()
