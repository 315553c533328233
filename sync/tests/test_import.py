"""`manage.py import_entities`: what goes in, what is left out, and how it is told; whatever the format."""

import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from pieces.models import MAX_PICTURE, Act, Component, Piece
from pieces.tests.factories import ComponentFactory
from sync import submission
from sync.files import importing
from sync.models import FileImport, SyncRun
from sync.tests.batches import full_piece, row_of
from sync.tests.files import faulty_lines, ndjson, piece_ids, pieces_file, small_piece
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage


def runs() -> list[SyncRun]:
    with every_company():
        return list(SyncRun.objects.order_by("guid"))


def imports() -> list[FileImport]:
    with every_company():
        return list(FileImport.objects.all())


def test_each_batch_goes_in_as_a_sync_would_with_a_receipt(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 2500)
    outcome = manage("import_entities", path, "--company", company.guid, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == {
        **{"rows": 2500, "inserted": 2500, "updated": 0, "unchanged": 0, "restored": 0, "deleted": 0, "faulty": 0},
        **{"ignored_fields": [], "dry_run": False},
    }
    assert piece_ids() == [str(number) for number in range(2500)]
    assert [(run.received, run.inserted, run.status) for run in runs()] == [
        (1000, 1000, "succeeded"),
        (1000, 1000, "succeeded"),
        (500, 500, "succeeded"),
    ]
    assert {(run.actor, run.entity, run.company_guid) for run in runs()} == {(f"import:{path}", "pieces", company.guid)}
    with every_company():
        assert set(Piece.objects.values_list("created_in", flat=True)) == {
            act.guid for act in Act.objects.all() if act.run_guid in {run.guid for run in runs()}
        }


def test_a_receipt_tells_faults_in_the_order_of_the_lines(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    """Whether a schema, a parent or the company is what is wrong."""
    pieces = [small_piece(component, number) for number in range(4)]
    pieces[0]["component_guid"], pieces[1]["outer_length"] = uuid.uuid4(), "x"
    pieces[2]["company_guid"], pieces[3]["outer_length"] = uuid.uuid4(), "y"
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(b"\n" + ndjson(pieces))
    manage("import_entities", path, "--company", company.guid)
    [run] = runs()
    said = [(fault["loc"], fault["msg"].partition(":")[0]) for fault in orjson.loads(run.errors_json)]
    fields = ("component_guid", "outer_length", "company_guid", "outer_length")
    assert said == [(["body", "pieces", n, field], f"Line {n + 1}") for n, field in enumerate(fields, 1)]


def test_a_second_import_changes_nothing_where_rows_have_guids(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson(full_piece(component, number) for number in range(3)))
    assert manage("import_entities", path, "--company", company.guid, "--json").json["inserted"] == 3
    again = manage("import_entities", path, "--company", company.guid, "--json").json
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 3, 3)


def test_the_lines_for_a_person_say_the_same(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson([small_piece(component, 1, colour="red", created_at="2026-01-01T00:00:00Z")]))
    outcome = manage("import_entities", path, "--company", company.guid)
    assert outcome.code == 0
    assert [line.split() for line in outcome.out.splitlines()] == [
        *(["rows", "1"], ["inserted", "1"], ["updated", "0"], ["unchanged", "0"], ["restored", "0"]),
        *(["deleted", "0"], ["faulty", "0"], ["ignored_fields", "colour"], ["dry_run", "False"]),
    ]


def test_faulty_rows_are_left_out_with_every_reason_and_the_others_go_in(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    guid, nobody = str(uuid.uuid4()), uuid.UUID(int=5)
    rows = [
        small_piece(component, 1),
        small_piece(component, 2, guid=guid, outer_length="long", barcode=5),
        small_piece(component, 3, assembly_guid=nobody, component_guid=nobody),
        [1],
        small_piece(component, 4),
        small_piece(component, 1),
        {},
        small_piece(component, 6, company_guid=nobody),
    ]
    path, errors = tmp_path / "pieces.ndjson", tmp_path / "errors.ndjson"
    path.write_bytes(b"\n" + ndjson(rows) + b'{"piece_id": "7", \n' + ndjson([small_piece(component, 8)]))
    outcome = manage("import_entities", path, "--company", company.guid, "--errors", errors, "--json")
    assert (outcome.code, outcome.err) == (1, "")
    assert (outcome.json["rows"], outcome.json["inserted"], outcome.json["faulty"]) == (10, 3, 7)
    assert piece_ids() == ["1", "4", "8"]
    found = [
        (row["line"], row["guid"], row["piece_id"], [(fault["field"], fault["type"]) for fault in row["faults"]])
        for row in faulty_lines(errors)
    ]
    required = [(name, "missing") for name in ("piece_id", "project_guid", "component_guid")]
    assert found == [
        (3, guid, "2", [("barcode", "string_type"), ("outer_length", "int_type")]),
        (4, None, "3", [("component_guid", "parent_not_found"), ("assembly_guid", "parent_not_found")]),
        (5, None, None, [(None, "dict_type")]),
        (7, None, "1", [("piece_id", "piece_id_taken")]),
        (8, None, None, required),
        (9, None, "6", [("company_guid", "company_foreign")]),
        (10, None, None, [(None, "json_invalid")]),
    ]
    [run] = runs()
    assert (run.received, run.inserted, run.status) == (10, 3, "succeeded")
    first = orjson.loads(run.errors_json)[0]
    assert first["loc"] == ["body", "pieces", 2, "barcode"]
    assert first["msg"].startswith("Line 3: ")


def test_without_a_file_for_them_the_first_faulty_rows_are_shown(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson(small_piece(component, number, bar_rest="x") for number in range(25)))
    outcome = manage("import_entities", path, "--company", company.guid)
    assert outcome.code == 1
    assert len(outcome.err.splitlines()) == 10
    assert outcome.err.splitlines()[1] == 'line 2: bar_rest: Input should be a whole number, got "x"'
    assert "faulty          25" in outcome.out
    [run] = runs()
    assert (run.status, run.http_status, run.received, run.inserted) == ("rejected", 422, 25, 0)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the engine is given, one by one."""
    sizes: list[int] = []

    def counted(model: Any, items: Any, *args: Any, **options: Any) -> Any:
        sizes.extend([len(items)] if items else [])  # none is left of a batch that is all at fault
        return write_items(model, items, *args, **options)

    write_items = submission.write_items
    monkeypatch.setattr(submission, "write_items", counted)
    return sizes


def test_a_thousand_rows_without_a_parent_cost_one_try(
    manage: Manage, company: Company, component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = counting(monkeypatch)
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson(small_piece(component, n, component_guid=uuid.UUID(int=n)) for n in range(1000)))
    outcome = manage("import_entities", path, "--company", company.guid, "--json")
    assert (outcome.code, outcome.json["faulty"], sizes) == (1, 1000, [1000])


def test_rows_that_fail_one_after_the_other_end_row_by_row(
    manage: Manage, company: Company, component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wants the piece_id that the row before it would give up, and the first can't."""
    guids = [uuid.UUID(int=number + 1) for number in range(30)]
    path = tmp_path / "pieces.ndjson"
    path.write_bytes(ndjson(small_piece(component, n, guid=guid) for n, guid in enumerate(guids)))
    manage("import_entities", path, "--company", company.guid)
    chain = [small_piece(component, n + 1, guid=guid) for n, guid in enumerate(guids)]
    chain[-1] |= {"assembly_guid": uuid.UUID(int=99)}
    path.write_bytes(ndjson([*reversed(chain), small_piece(component, 77)]))
    sizes = counting(monkeypatch)
    outcome = manage("import_entities", path, "--company", company.guid, "--json")
    assert (outcome.code, outcome.json["rows"], outcome.json["faulty"]) == (1, 31, 30)
    assert "77" in piece_ids()
    assert sizes[:10] == list(range(31, 21, -1))
    assert set(sizes[10:]) == {1}
    assert outcome.err.splitlines()[0].startswith("line 1: assembly_guid: ")


def test_a_batch_of_large_rows_is_a_small_one(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path, picture = tmp_path / "pieces.ndjson", b64encode(bytes(MAX_PICTURE)).decode()
    path.write_bytes(ndjson(small_piece(component, number, picture=picture) for number in range(30)))
    assert manage("import_entities", path, "--company", company.guid).code == 0
    assert [run.received for run in runs()] == [24, 6]  # 8 MiB


def test_a_row_of_too_many_values_is_not_even_parsed(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "pieces.ndjson"
    crowded = b'{"piece_id": "1", "more": [' + b"0," * 300_000 + b"0]}\n"
    path.write_bytes(crowded + ndjson([small_piece(component, 2)]))
    outcome = manage("import_entities", path, "--company", company.guid)
    assert (outcome.code, piece_ids()) == (1, ["2"])
    assert outcome.err == "line 1: The row has more than 250000 values\n"


def test_a_line_that_passes_for_two_rows_or_half_a_row_is_faulty(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    """Joined with commas these four lines are four valid items, though not the ones that they seem."""
    one, two = (orjson.dumps(small_piece(component, number, company_guid=company.guid)) for number in (1, 2))
    path = tmp_path / "pieces.ndjson"
    three = orjson.dumps(small_piece(component, 3, company_guid=company.guid))
    four = orjson.dumps(small_piece(component, 4, company_guid=company.guid))
    path.write_bytes(b"\n".join([one + b"," + two, three[:-1], three[1:], four]))
    outcome = manage("import_entities", path, "--company", company.guid, "--json")
    assert (outcome.json["rows"], outcome.json["faulty"], piece_ids()) == (4, 3, ["4"])


def test_a_dry_run_tells_everything_and_writes_nothing(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "pieces.ndjson"
    bad = [small_piece(component, 1), small_piece(component, 3, component_guid=uuid.UUID(int=1))]
    path.write_bytes(ndjson([small_piece(component, 0), *bad, small_piece(component, 2, angle_left=[])]))
    outcome = manage("import_entities", path, "--company", company.guid, "--dry-run")
    assert outcome.code == 1
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == ["line 3", "line 4"]
    assert outcome.out.splitlines()[-1] == "Nothing was written: --dry-run."
    assert (piece_ids(), runs(), len(imports())) == ([], [], 0)


def test_an_import_stays_within_its_company(manage: Manage, company: Company, tmp_path: Path) -> None:
    foreign = ComponentFactory.create()
    path = tmp_path / "components.ndjson"
    path.write_bytes(ndjson([{"guid": foreign.guid, "code": "mine now", "project_guid": foreign.project_guid}]))
    outcome = manage("import_entities", path, "--company", company.guid, "--entity", "components")
    assert outcome.code == 1
    assert f"The guid {foreign.guid} is taken by another company" in outcome.err
    assert row_of("component", foreign.guid).code == foreign.code


def test_it_keeps_deleted_rows_active_until_what_is_below_them_is_in(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = tmp_path / "components.ndjson"
    deleted = {"guid": component.guid, "code": "C", "project_guid": component.project_guid, "is_active": False}
    path.write_bytes(ndjson([deleted]))
    arguments = ("import_entities", path, "--company", company.guid, "--entity", "components")
    assert manage(*arguments, "--keep-active", "--json").json["deleted"] == 0
    assert row_of("component", component.guid).is_active
    assert manage(*arguments, "--json").json["deleted"] == 1
    assert not row_of("component", component.guid).is_active


def test_an_import_that_broke_off_goes_on_after_the_last_batch(
    manage: Manage, company: Company, component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks off at the last step of the third batch's transaction; the rows have no guids to be known by."""
    path, errors = pieces_file(tmp_path / "pieces.ndjson", component, 2000), tmp_path / "errors.ndjson"
    rows = path.read_bytes() + b"{}\n" + ndjson(small_piece(component, number) for number in range(2000, 3000))
    path.write_bytes(b"{}\n" + rows)
    arguments = ("import_entities", path, "--company", company.guid, "--errors", errors, "--json")
    keep, left = importing.Importer.keep, [None, None]

    def breaking(self: Any, run: submission.Run) -> None:
        keep(self, run)
        if not left:
            raise ZeroDivisionError
        left.pop()

    with monkeypatch.context() as patch:
        patch.setattr(importing.Importer, "keep", breaking)
        with pytest.raises(ZeroDivisionError):
            manage(*arguments)
    assert len(piece_ids()) == 1999
    assert [row["line"] for row in faulty_lines(errors)] == [1, 2002]  # the second one's batch was lost
    outcome = manage(*arguments, "--resume")
    assert (outcome.code, outcome.json["rows"], outcome.json["inserted"], outcome.json["faulty"]) == (1, 3002, 3000, 2)
    assert piece_ids() == [str(number) for number in range(3000)]
    assert [row["line"] for row in faulty_lines(errors)] == [1, 2002]


def test_a_full_disk_is_one_clear_line_and_what_is_done_can_be_resumed(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path, errors = pieces_file(tmp_path / "pieces.ndjson", component, 1000), tmp_path / "errors.ndjson"
    path.write_bytes(path.read_bytes() + b"{}\n" + ndjson([small_piece(component, 1000)]))
    arguments = ("import_entities", path, "--company", company.guid, "--errors")
    outcome = manage(*arguments, "/dev/full")
    assert (outcome.code, len(piece_ids())) == (2, 1000)
    done = "1000 rows are done, --resume goes on after them"
    assert outcome.err.endswith(f"pieces.ndjson: /dev/full: No space left on device; {done}\n")
    assert outcome.err.count("\n") == 1
    assert manage(*arguments, errors, "--resume", "--json").json["inserted"] == 1001
    assert [row["line"] for row in faulty_lines(errors)] == [1001]


def test_a_finished_file_is_not_imported_again_and_what_was_added_is(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 3)
    manage("import_entities", path, "--company", company.guid)
    assert manage("import_entities", path, "--company", company.guid, "--resume", "--json").json["inserted"] == 3
    with path.open("ab") as file:
        file.write(ndjson([small_piece(component, 3)]))
    assert manage("import_entities", path, "--company", company.guid, "--resume", "--json").json["inserted"] == 4
    assert piece_ids() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("change", [lambda data: data.replace(b'"1"', b'"x"'), lambda data: data[:50]])
def test_a_changed_file_is_not_resumed(
    manage: Manage, company: Company, component: Component, tmp_path: Path, change: Any
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 3)
    manage("import_entities", path, "--company", company.guid)
    path.write_bytes(change(path.read_bytes()))
    outcome = manage("import_entities", path, "--company", company.guid, "--resume")
    assert outcome.code == 2
    assert "its first 3 rows are not those that were imported" in outcome.complaint
    assert piece_ids() == ["0", "1", "2"]


def test_what_was_imported_as_active_is_not_resumed_as_deleted(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 3)
    manage("import_entities", path, "--company", company.guid, "--keep-active")
    outcome = manage("import_entities", path, "--company", company.guid, "--resume")
    assert "(with the same --map, --raw and --keep-active?)" in outcome.complaint


def test_without_resume_a_file_is_imported_from_its_start(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 3)
    manage("import_entities", path, "--company", company.guid)
    outcome = manage("import_entities", path, "--company", company.guid, "--json")
    assert (outcome.code, outcome.json["faulty"]) == (1, 3)  # the piece_ids are taken
    assert [each.faulty for each in imports()] == [3]


def test_two_imports_of_one_file_do_not_both_go_on(
    manage: Manage, company: Company, component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 3)

    def overtaken(*given: Any, **options: Any) -> Any:
        FileImport.objects.update(rows=3)
        return write_items(*given, **options)

    write_items = submission.write_items
    monkeypatch.setattr(submission, "write_items", overtaken)
    outcome = manage("import_entities", path, "--company", company.guid)
    assert (outcome.code, piece_ids()) == (3, [])
    assert outcome.complaint.endswith("another process is importing this file")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--company", "x"], "not a UUID: 'x'"),
        (["--company", str(uuid.UUID(int=7))], f"there is no company {uuid.UUID(int=7)}"),
        ([], "--company"),
        (["--entity", "windows"], "invalid choice: 'windows'"),
        (["--format", "xml"], "invalid choice: 'xml'"),
        (["--map", "a"], "not COLUMN=FIELD: 'a'"),
        (["--map", "a=piece_id"], "--map is for a CSV; this is ndjson"),
        (["--map", "a=piece_id", "--map", "a=cell", "--format", "csv"], "--map names a column twice"),
        (["--dry-run", "--resume"], "--dry-run writes nothing that could be resumed"),
        (["--resume"], "there is no import of this file to resume"),
        (["--errors", "{path}"], "--errors would overwrite it"),
        (["--errors", "/nowhere/errors"], "/nowhere/errors: No such file or directory"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_bad_argument_is_one_clear_line_and_2(
    manage: Manage, company: Company, component: Component, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    path = pieces_file(tmp_path / "pieces.ndjson", component, 1)
    before = path.read_bytes()
    given = [argument.format(path=path) for argument in arguments]
    outcome = manage(
        "import_entities", path, *([] if "--company" in given or not given else ["--company", company.guid]), *given
    )
    assert complaint in outcome.complaint
    assert (outcome.code, path.read_bytes()) == (2, before)
