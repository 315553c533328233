"""`manage.py export_entities`, and that an import of what it writes gives the same data."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection
from django.db.models import IntegerField
from django.test.utils import CaptureQueriesContext
from hypothesis import example, given
from hypothesis import strategies as st

from bench.faults.server import ROOT, environment
from client.tests.live import database_url
from pieces.models import LEVELS, MAX_PICTURE, Entity, Piece, Project
from pieces.tests.copies import copies
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family, family_of
from sync.files.reading import Source
from sync.files.tables import cell_of, csv_rows
from sync.tests.batches import Item, Sync, scalar_fields
from sync.tests.files import empty_tables
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage

ODD = (
    *("", " ", "\\N", "\\E", "\\\\N", "\\", '"', 'a"b', "a,b;c\td", "a\nb\r\nc\rd", "ü€😀", "null", "true", "0012"),
    *("\u2028", "\u0001", " a ", "😀" * 255, "=1+1", "\\=1+1", "-5", "+5", " @x", "\tx", "＝1", "5;-5"),
)
DATES = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-05-01T10:00:00.5+02:00", None)
PICTURE = bytes(range(256)) * (MAX_PICTURE // 256)
ENTITIES = tuple(model.plural for model in LEVELS)
FORMATS = ("ndjson", "csv")


def branch(company: Company, number: int) -> dict[str, Item]:
    """A smallest item of each level, one below the other, by the names of their lists."""
    guids = {f"{model.kind}_guid": uuid.uuid5(company.guid, f"{model.kind} {number}") for model in LEVELS}
    items: dict[str, Item] = {}
    for model, code in zip(LEVELS, ("code", "code", "trolley", "piece_id"), strict=True):
        above = {column: guids[column] for column in model.parent_columns()}
        guid = guids[f"{model.kind}_guid"]
        items[model.plural] = {"guid": guid, "company_guid": company.guid, code: f"{number}", **above}
    return items


@pytest.fixture
def factory(sync: Sync, company: Company) -> None:
    """Rows of all four levels with odd texts, nulls, limits, pictures, and deleted ones at every level."""

    def put(plural: str, *items: Item) -> None:
        response = sync(plural, *items)
        assert response.status_code == 200, response.content

    branches = [branch(company, number) for number in range(5)]
    for plural in ENTITIES:
        put(plural, *(items[plural] for items in branches))
    for items, plural in zip(branches[1:], ENTITIES, strict=True):
        put(plural, items[plural] | {"is_active": False})
    project, component, assembly, piece = ({**item, "guid": None} for item in branches[0].values())
    put("projects", *(project | {"due_date": date, "in_production": None} for date in DATES))
    put("projects", *(project | {"company_name": text} for text in ODD))
    put("components", *(component | {"designation": text, "quantity": None} for text in ODD))
    pictures = [b64encode(PICTURE[:size]).decode() for size in (0, 1, 2, 3, MAX_PICTURE)]
    put("assemblies", *(assembly | {"picture": picture, "cell_number": 0} for picture in pictures))
    for number, text in enumerate(ODD):
        texts = dict.fromkeys(scalar_fields(Piece), text)
        numbers = {name: number for name, field in scalar_fields(Piece).items() if isinstance(field, IntegerField)}
        put("pieces", piece | texts | numbers | {"piece_id": f"odd {number}"})
    limits = {"outer_length": -(2**31), "bar_rest": 2**31 - 1, "operations": "😀" * 4000, "picture": pictures[-1]}
    put("pieces", piece | {"piece_id": "\\N"} | limits, piece | {"piece_id": "\\E", "picture": ""})
    put("pieces", piece | {"piece_id": "twice", "is_active": False}, piece | {"piece_id": "twice"})


def export_all(manage: Manage, company: Company, folder: Path, name: str, *arguments: str) -> dict[str, bytes]:
    """The files of the four entities."""
    folder.mkdir()
    for entity in ENTITIES:
        path = folder / f"{entity}.{name}"
        outcome = manage(
            "export_entities", path, "--company", company.guid, "--entity", entity, "--format", name, *arguments
        )
        assert outcome.code == 0, outcome
    return {entity: (folder / f"{entity}.{name}").read_bytes() for entity in ENTITIES}


def import_one(manage: Manage, company: Company, folder: Path, name: str, entity: str, *arguments: str) -> None:
    path = folder / f"{entity}.{name}"
    outcome = manage("import_entities", path, "--company", company.guid, "--entity", entity, *arguments)
    assert (outcome.code, outcome.err) == (0, "")


def contents() -> dict[str, list[Item]]:
    """What was set in all rows of the database, with the digests of it."""
    with every_company():
        return {
            model.plural: list(
                model.all_objects.order_by("guid").values(
                    "digest", *(field.attname for field in model.settable_fields() if field.attname != "company_guid")
                )
            )
            for model in LEVELS
        }


@pytest.mark.usefixtures("factory")
@pytest.mark.parametrize("name", FORMATS)
def test_export_import_export_is_the_same_byte_for_byte_and_so_are_the_rows(
    manage: Manage, company: Company, other_company: Company, tmp_path: Path, name: str
) -> None:
    before, written = contents(), export_all(manage, company, tmp_path / "one", name, "--include-inactive")
    empty_tables()
    for entity in ENTITIES[:3]:
        import_one(manage, other_company, tmp_path / "one", name, entity, "--keep-active")
    for entity in reversed(ENTITIES):
        import_one(manage, other_company, tmp_path / "one", name, entity)
    assert contents() == before
    assert export_all(manage, other_company, tmp_path / "two", name, "--include-inactive") == written
    assert manage("check_integrity").code == 0
    assert [sum(not row["is_active"] for row in rows) for rows in before.values()] == [1, 2, 3, 5]


@pytest.mark.usefixtures("factory")
@pytest.mark.parametrize("name", FORMATS)
def test_without_the_deleted_rows_four_imports_in_order_are_enough(
    manage: Manage, company: Company, other_company: Company, tmp_path: Path, name: str
) -> None:
    written = export_all(manage, company, tmp_path / "one", name)
    empty_tables()
    for entity in ENTITIES:
        import_one(manage, other_company, tmp_path / "one", name, entity)
    assert export_all(manage, other_company, tmp_path / "two", name) == written


@pytest.mark.usefixtures("factory")
@pytest.mark.parametrize("name", FORMATS)
def test_an_import_of_what_is_there_changes_nothing(
    manage: Manage, company: Company, tmp_path: Path, name: str
) -> None:
    export_all(manage, company, tmp_path / "one", name, "--include-inactive")
    for entity in ENTITIES:
        path = tmp_path / "one" / f"{entity}.{name}"
        counts = manage("import_entities", path, "--company", company.guid, "--entity", entity, "--json").json
        assert (counts["rows"], counts["faulty"]) == (counts["unchanged"], 0)


def exported(manage: Manage, company: Company, *arguments: object) -> list[dict[str, Any]]:
    """What it writes to standard output."""
    outcome = manage("export_entities", "--company", company.guid, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_it_writes_what_a_sync_may_set_of_the_active_rows_of_the_company(
    manage: Manage, company: Company, sync: Sync
) -> None:
    family, _ = family_of(company), family_of(ComponentFactory.create().company)
    gone = PieceFactory.create(company=company, component=family.component)
    assert sync.api.delete(f"/api/v1/pieces/{gone.guid}").status_code == 204
    [row] = exported(manage, company)
    assert row["guid"] == str(family.piece.guid)
    assert list(row) == [field.attname for field in Piece.settable_fields() if field.attname != "company_guid"]
    rows = exported(manage, company, "--include-inactive")
    assert [(row["guid"], row["is_active"]) for row in rows] == sorted(
        [(str(family.piece.guid), True), (str(gone.guid), False)]
    )


@pytest.mark.parametrize("entity", ENTITIES)
def test_it_may_be_asked_for_one_project_or_for_what_is_new(manage: Manage, company: Company, entity: str) -> None:
    old, new = family_of(company), family_of(company)
    model: type[Entity] = next(model for model in LEVELS if model.plural == entity)
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    with every_company():
        for family, updated in ((old, moment.replace(day=2)), (new, moment.replace(day=3))):
            model.all_objects.filter(guid=family[model.kind].guid).update(updated_at=updated)
    assert [row["guid"] for row in exported(manage, company, "--entity", entity, "--project", old.project.guid)] == [
        str(old[model.kind].guid)
    ]
    assert [row["guid"] for row in exported(manage, company, "--entity", entity, "--updated-since", "2026-05-03")] == [
        str(new[model.kind].guid)
    ]


def test_a_file_that_is_there_is_kept_unless_forced(manage: Manage, company: Company, tmp_path: Path) -> None:
    family_of(company)
    path = tmp_path / "pieces.csv"
    path.write_text("precious")
    arguments = ("export_entities", path, "--company", company.guid, "--format", "csv")
    assert manage(*arguments).complaint == f"{path} is there already; --force replaces it"
    assert path.read_text() == "precious"
    outcome = manage(*arguments, "--force", "--json")
    assert outcome.json == {"rows": 1, "file": str(path)}
    assert len(list(csv.reader(io.StringIO(path.read_text())))) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_that_fails_leaves_nothing_behind(
    manage: Manage, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family_of(company)
    path = tmp_path / "pieces.ndjson"
    path.write_text("precious")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = manage("export_entities", path, "--company", company.guid, "--force")
    assert outcome.complaint == f"{path}: No space left on device"
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(path, "precious")]


def test_a_name_that_ends_in_gz_is_packed_and_the_same_each_time(
    manage: Manage, company: Company, tmp_path: Path
) -> None:
    family_of(company)
    for name in ("a.gz", "b.gz", "c"):
        manage("export_entities", tmp_path / name, "--company", company.guid)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "c").read_bytes()


def test_a_company_without_rows_is_an_empty_file_or_a_header(manage: Manage, company: Company, tmp_path: Path) -> None:
    written = export_all(manage, company, tmp_path / "one", "ndjson")
    assert set(written.values()) == {b""}
    tables = export_all(manage, company, tmp_path / "two", "csv")
    assert tables["projects"] == b"guid,is_active,code,due_date,in_production,company_name\r\n"
    for name in FORMATS:
        import_one(manage, company, tmp_path / ("one" if name == "ndjson" else "two"), name, "projects")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--company", "x"], "not a UUID: 'x'"),
        (["--company", str(uuid.UUID(int=7))], f"there is no company {uuid.UUID(int=7)}"),
        (["--entity", "windows"], "invalid choice: 'windows'"),
        (["--format", "json"], "invalid choice: 'json'"),
        (["--project", str(uuid.UUID(int=7))], f"there is no project {uuid.UUID(int=7)} in this company"),
        (["--updated-since", "yesterday"], "not an ISO 8601 date or time: 'yesterday'"),
        (["--raw"], "--raw is for --format csv"),
        (["--json"], "--json needs a FILE: standard output has the rows"),
        (["/nowhere/pieces"], "/nowhere/pieces: No such file or directory"),
    ],
)
def test_a_bad_argument_is_one_clear_line(
    manage: Manage, company: Company, arguments: list[str], complaint: str
) -> None:
    ProjectFactory.create(guid=uuid.UUID(int=7))  # of another company
    given = [] if "--company" in arguments else ["--company", company.guid]
    assert complaint in manage("export_entities", *given, *arguments).complaint


def test_rows_are_fetched_bit_by_bit_by_one_statement(manage: Manage, family: Family, company: Company) -> None:
    copies(family.piece, 1000)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(exported(manage, company)) == 1001
    assert sum("pieces_piece" in query["sql"] for query in queries) <= 1


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_has_had_enough_is_no_traceback(company: Company) -> None:
    family = family_of(company)
    copies(family.piece, 3000)
    command = [sys.executable, str(ROOT / "manage.py"), "export_entities", "--company", str(company.guid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(database_url()), stdout=pipe, stderr=pipe) as process:  # noqa: S603  # our own command
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_projects_are_exported_by_the_model(manage: Manage, company: Company) -> None:
    project: Project = ProjectFactory.create(company=company, due_date=datetime(2026, 5, 1, 8, tzinfo=UTC))
    [row] = exported(manage, company, "--entity", "projects")
    assert row == {
        **{"guid": str(project.guid), "is_active": True, "code": project.code, "due_date": "2026-05-01T08:00:00Z"},
        **{"in_production": False, "company_name": None},
    }


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# Signs of formulas, of escapes, and what stands between cells: most texts of these are odd ones.
ODD_TEXT = st.text(st.sampled_from('=+-@＝＋－＠\\NE;,"\t\r\n \u00a0x1'), max_size=12)


def written_as_csv(value: str | int | None, *, raw: bool = False) -> bytes:
    """A file of one row, with a guid first."""
    file = io.StringIO(newline="")
    name = "outer_length" if isinstance(value, int) else "info2"
    csv.writer(file).writerows([["guid", name], [cell_of("x", raw=raw), cell_of(value, raw=raw)]])
    return file.getvalue().encode()


@example(";\n;\n;", True)  # more of its lines have a semicolon than a comma
@given(ANY_TEXT | ODD_TEXT | st.none() | st.integers(-(2**31), 2**31 - 1), st.booleans())
def test_a_cell_is_read_as_the_value_that_it_was_written_for(value: str | int | None, raw: bool) -> None:
    name = "outer_length" if isinstance(value, int) else "info2"
    source = Source(io.BufferedReader(io.BytesIO(written_as_csv(value, raw=raw))))
    [row] = csv_rows(source, Piece, {}, raw=raw)
    assert orjson.loads(row.raw) == {"guid": "x", name: value}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@given(text=ODD_TEXT)
def test_no_cell_is_a_formula_whatever_a_spreadsheet_takes_for_the_delimiter(delimiter: str, text: str) -> None:
    file = io.StringIO(written_as_csv(text).decode(), newline="")
    for cells in csv.reader(file, delimiter=delimiter):
        for cell in cells:
            assert re.match(r'[\s"]*[=+\-@＝＋－＠]', cell) is None


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "\\=1+1"),
        ("\\=1+1", "\\\\=1+1"),
        ("-5", "\\-5"),
        ("  @x", "\\  @x"),
        ("\tx", "\\\tx"),
        ("\rx", "\\\rx"),
        ("＋1", "\\＋1"),
        ("5;-5", "5;\\-5"),
        ("a-b = c, d", "a-b = c, d"),
        ("a\n\nb", "a\n\nb"),
        ("\\x", "\\x"),
        (-5, -5),
    ],
)
def test_what_begins_like_a_formula_has_a_backslash_in_front(text: str | int, cell: str | int) -> None:
    assert cell_of(text) == cell
    assert cell_of(text, raw=True) == text


def test_raw_text_is_exported_and_imported_raw(manage: Manage, company: Company, sync: Sync, tmp_path: Path) -> None:
    path, texts = tmp_path / "pieces.csv", {"info2": "\\=1+1", "info3": "=1+1", "outer_length": -5}
    for plural, item in branch(company, 1).items():
        assert sync(plural, item | texts).status_code == 200
    export = ("export_entities", path, "--company", company.guid, "--format", "csv", "--force")
    load = ("import_entities", path, "--company", company.guid, "--json")
    manage(*export)
    assert ",\\\\=1+1," in path.read_text()
    assert manage(*load).json["unchanged"] == 1
    manage(*export, "--raw")
    assert ",\\=1+1," in path.read_text()
    assert manage(*load, "--raw").json["unchanged"] == 1
    assert manage(*load).json["unchanged"] == 0  # its backslash is taken for an escape
    assert Piece.all_objects.values("info2", "info3", "outer_length").get() == texts | {"info2": "=1+1"}
