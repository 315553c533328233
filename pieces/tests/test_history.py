"""`GET /api/v1/{entity}/{guid}/history` and `?at=`: what a row was, who changed it and when (contract, "History")."""

import json
import uuid
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pieces import history as reading_history
from pieces import triggers
from pieces.models import HISTORIES, LEVELS_BY_KIND, Deletion, Piece
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family, path_of
from pieces.tests.pasts import Entry, at, by_hand, digest, history, item, moment_of, send, send_all, unsaved
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

# --- What an entry says ------------------------------------------------------------------------


def test_an_insert_and_an_update_are_an_entry_each_the_newest_first(reader: Api, family: Family) -> None:
    new = unsaved(family)
    first = send(reader, new, outer_length=1200)
    second = send_all(reader, "pieces", item(new, outer_length=1250, barcode="X1"), x_request_id="r-2")
    updated, inserted = history(reader, new)
    row = reader.get(path_of(new)).json()
    assert updated == {
        "at": row["updated_at"],
        "action": "updated",
        "actor": updated["actor"],
        "run_guid": second,
        "request_id": "r-2",
        "deletion_guid": None,
        "changes": {"outer_length": [1200, 1250], "barcode": [None, "X1"]},
    }
    assert updated["actor"].startswith("api_key:")
    assert (inserted["at"], inserted["action"], inserted["run_guid"]) == (row["created_at"], "inserted", first)
    assert inserted["changes"] == {
        "piece_id": [None, "new"],
        "project_guid": [None, str(new.project_guid)],
        "component_guid": [None, str(new.component_guid)],
        "is_active": [None, True],
        "outer_length": [None, 1200],
    }


def test_what_stays_as_it_is_has_no_entry(reader: Api, family: Family) -> None:
    send(reader, family.piece, cell="x")
    before = history(reader, family.piece)
    send(reader, family.piece, cell="x")
    reader.post("/api/v1/sync/pieces?dry_run=true", {"pieces": [{"guid": str(family.piece.guid)}]})
    assert history(reader, family.piece) == before


def test_an_empty_text_and_null_are_told_apart(reader: Api, family: Family) -> None:
    send(reader, family.piece, cell="", info2="x")
    send(reader, family.piece, cell=None, info2="")
    cleared, set_ = history(reader, family.piece)
    assert cleared["changes"] == {"cell": ["", None], "info2": ["x", ""]}
    assert set_["changes"] == {"cell": [None, ""], "info2": [None, "x"]}


def test_times_are_in_utc_with_a_z(reader: Api, family: Family) -> None:
    send(reader, family.project, due_date="2030-05-01T12:00:00+02:00")
    [entry] = history(reader, family.project)
    assert entry["changes"] == {"due_date": [None, "2030-05-01T10:00:00Z"]}
    assert entry["at"].endswith("Z")


@pytest.mark.parametrize("kind", LEVELS_BY_KIND)
def test_a_deletion_and_a_restore_are_entries_of_everything_that_they_took(
    reader: Api, family: Family, kind: str
) -> None:
    deleted = reader.delete(path_of(family[kind]))["X-Sync-Run"]
    restored = reader.post(f"{path_of(family[kind])}/restore")["X-Sync-Run"]
    deletion = Deletion.objects.get()
    for row in family.from_level(kind):
        back, gone = history(reader, row)
        assert (gone["action"], gone["run_guid"]) == ("deleted", deleted)
        assert (back["action"], back["run_guid"]) == ("restored", restored)
        assert gone["deletion_guid"] == back["deletion_guid"] == str(deletion.guid)
        assert gone["changes"] == {"is_active": [True, False], "deleted_at": [None, gone["changes"]["deleted_at"][1]]}
        assert back["changes"] == {"is_active": [False, True], "deleted_at": gone["changes"]["deleted_at"][::-1]}


def test_a_deleted_row_has_its_history(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.project))
    assert reader.get(path_of(family.piece)).status_code == 404
    assert [entry["action"] for entry in history(reader, family.piece)] == ["deleted"]


def test_a_move_is_an_entry_of_everything_below_too(reader: Api, family: Family) -> None:
    other = ProjectFactory.create(company=family.project.company)
    run = send(reader, family.component, project_guid=other.guid, designation="x")
    change = {"project_guid": [str(family.project.guid), str(other.guid)]}
    for row in (family.component, family.assembly, family.piece):
        [entry] = history(reader, row)
        assert (entry["action"], entry["run_guid"]) == ("moved", run)
        assert entry["changes"] == change | ({"designation": [None, "x"]} if row is family.component else {})


def test_a_move_that_deletes_is_a_deletion(reader: Api, family: Family) -> None:
    other = ComponentFactory.create(project=family.project)
    send(reader, family.assembly, component_guid=other.guid, is_active=False)
    [entry] = history(reader, family.assembly)
    assert entry["action"] == "deleted"
    assert {"component_guid", "is_active", "deleted_at"} == entry["changes"].keys()
    [below] = history(reader, family.piece)
    assert (below["action"], set(below["changes"])) == ("deleted", {"component_guid", "is_active", "deleted_at"})


def test_what_one_act_writes_twice_is_one_entry(reader: Api, family: Family) -> None:
    """Pieces that swap their piece_ids are out of each other's way in between."""
    other = PieceFactory.create(assembly=family.assembly)
    swapped = ((family.piece, other), (other, family.piece))
    send_all(reader, "pieces", *(item(row, piece_id=taken.piece_id) for row, taken in swapped))
    [entry] = history(reader, family.piece)
    assert (entry["action"], entry["changes"]) == ("updated", {"piece_id": [family.piece.piece_id, other.piece_id]})


def test_a_write_by_sql_has_its_entry(reader: Api, family: Family) -> None:
    for row, column, old in (
        (family.project, "code", family.project.code),
        (family.component, "designation", None),
        (family.assembly, "trolley", None),
        (family.piece, "barcode", None),
    ):
        before = datetime.now(UTC)
        by_hand(row, **{column: "by hand"})
        [entry] = history(reader, row)
        assert before - timedelta(milliseconds=2) < moment_of(entry.pop("at")) < datetime.now(UTC)
        assert entry == {
            **{"action": "updated", "actor": None, "run_guid": None, "request_id": None, "deletion_guid": None},
            "changes": {column: [old, "by hand"]},
        }


def test_writes_by_sql_between_syncs_have_entries_of_their_own(reader: Api, family: Family) -> None:
    runs = [send(reader, family.piece, cell="a")]
    for text in ("b", "c"):
        by_hand(family.piece, cell=text)
    runs.append(send(reader, family.piece, cell="d"))
    by_hand(family.piece, cell="e")
    entries = history(reader, family.piece)
    assert [entry["changes"]["cell"] for entry in entries] == [list(pair) for pair in ("de", "cd", "bc", "ab")] + [
        [None, "a"]
    ]
    assert [entry["run_guid"] for entry in entries] == [None, runs[1], None, None, runs[0]]
    moments = [entry["at"] for entry in entries]
    assert moments == sorted(moments, reverse=True)


def test_a_write_of_many_rows_by_sql_is_one_entry_each(reader: Api, family: Family) -> None:
    pieces = [family.piece, *(PieceFactory.create(assembly=family.assembly) for _ in range(4))]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_piece SET cell = piece_id")
    assert [history(reader, piece)[0]["changes"]["cell"] for piece in pieces] == [
        [None, piece.piece_id] for piece in pieces
    ]


def test_a_picture_shows_as_its_digests(reader: Api, family: Family) -> None:
    one, two = b"one", b"two" * 1000
    for picture in (one, two, None):
        send(reader, family.component, picture=picture and b64encode(picture).decode())
    assert [entry["changes"]["picture"] for entry in history(reader, family.component)] == [
        [digest(two), None],
        [digest(one), digest(two)],
        [None, digest(one)],
    ]


# --- Its pages ---------------------------------------------------------------------------------


def follow(reader: Api, path: str) -> list[list[Entry]]:
    """All pages, by their links."""
    pages = []
    while path:
        response = reader.get(path)
        assert response.status_code == 200, response.content
        pages.append(response.json())
        link = response.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.removesuffix('>; rel="next"').removeprefix("<http://testserver")
    return pages


def changed_often(piece: Piece, times: int) -> None:
    with transaction.atomic():
        for number in range(times):
            moment = piece.updated_at + timedelta(seconds=number + 1)
            Piece.all_objects.filter(guid=piece.guid).update(cell=f"{number}", updated_at=moment)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
def test_pages_follow_each_other_without_gap_or_double(reader: Api, family: Family, limit: int) -> None:
    new = unsaved(family)
    for cell in "abcd":
        send(reader, new, cell=cell)
    pages = follow(reader, f"{path_of(new)}/history?limit={limit}")
    cells = [entry["changes"]["cell"][1] for page in pages for entry in page]
    assert cells == ["d", "c", "b", "a"]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1][-1]["action"] == "inserted"
    assert len(pages) == -(-4 // limit)


def test_what_comes_in_meanwhile_shifts_no_page(reader: Api, family: Family) -> None:
    for cell in "abcd":
        send(reader, family.piece, cell=cell)
    first = reader.get(f"{path_of(family.piece)}/history?limit=2")
    for cell in "ef":
        send(reader, family.piece, cell=cell)
    path = first["Link"].removesuffix('>; rel="next"').removeprefix("<http://testserver")
    rest = [entry["changes"]["cell"][1] for page in follow(reader, path) for entry in page]
    assert rest == ["b", "a"]


def test_thousands_of_changes_are_paged_through_in_a_fixed_number_of_queries(reader: Api, family: Family) -> None:
    def counted(times: int) -> list[int]:
        piece = PieceFactory.create(assembly=family.assembly)
        changed_often(piece, times)
        long_ago = HISTORIES[Piece].objects.filter(guid=piece.guid).order_by("id")[9].replaced_at
        path = f"{path_of(piece)}/history"
        cursor = reader.get(f"{path}?limit=5")["Link"].partition("cursor=")[2].partition(">")[0]
        counts = []
        for query in ("", "?limit=20", f"?limit=20&cursor={cursor}", f"?at={long_ago:%Y-%m-%dT%H:%M:%S.%fZ}"):
            with CaptureQueriesContext(connection) as queries:
                response = reader.get(path_of(piece) + query if "at=" in query else path + query)
            assert response.status_code == 200
            counts.append(len(queries))
        assert response.json()["cell"] == "9"
        return counts

    assert counted(30) == counted(2000)


def test_a_page_of_long_entries_ends_early(reader: Api, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_history, "MAX_PAGE_BYTES", 50_000)
    for number in range(12):
        send(reader, family.piece, **dict.fromkeys(("info2", "info3", "operations"), f"{number}" * 2000))
    pages = follow(reader, f"{path_of(family.piece)}/history?limit=100")
    assert len(pages) > 1
    assert all(len(page) > 1 for page in pages[:-1])
    shown = [entry["changes"]["info2"][1] for page in pages for entry in page]
    assert shown == [f"{number}" * 2000 for number in reversed(range(12))]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "limit=2&limit=2", "limit=%00", "cursor=x", "cursor=", "cursor=%00"),
        *("cursor=WyItaWQiLDFd&cursor=WyItaWQiLDFd", "company_guid=x", f"cursor={'W' * 9000}", "limit=1e1"),
    ],
)
def test_a_bad_parameter_is_a_422(reader: Api, family: Family, query: str) -> None:
    response = reader.get(f"{path_of(family.piece)}/history?{query}")
    assert response.status_code == 422, response.content


@pytest.mark.parametrize("id", [0, -1, 10**9, 2**63 - 1, 2**63, 2**70, -(2**63), -(2**80), 1e9, "-9", None, [1]])
def test_a_cursor_that_nobody_was_given_is_refused(reader: Api, family: Family, id: Any) -> None:
    send(reader, family.piece, cell="a")
    cursor = urlsafe_b64encode(json.dumps(["-id", id]).encode()).decode().rstrip("=")
    response = reader.get(f"{path_of(family.piece)}/history", {"cursor": cursor})
    assert response.status_code in (410, 422), response.content


def test_a_cursor_of_another_row_is_a_410(reader: Api, family: Family) -> None:
    for row in (family.piece, other := PieceFactory.create(assembly=family.assembly)):
        for cell in "abc":
            send(reader, row, cell=cell)
    cursor = reader.get(f"{path_of(family.piece)}/history?limit=1")["Link"].partition("cursor=")[2].partition(">")[0]
    assert reader.get(f"{path_of(other)}/history?cursor={cursor}").status_code == 410


# --- Whose it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("guid", ["x", "%00", "%ED%A0%80", "9" * 3000, str(uuid.uuid4())])
def test_a_row_that_does_not_exist_is_a_404(reader: Api, guid: str) -> None:
    for path in (f"/api/v1/pieces/{guid}/history", f"/api/v1/pieces/{guid}?at=2030-01-01"):
        assert reader.get(path).status_code == 404


def test_a_foreign_row_does_not_exist(reader: Api, foreign: Family, other_company: Company) -> None:
    other = Api().with_key(issue_key(other_company))
    send(other, foreign.piece, cell="secret")
    for row in (foreign.project, foreign.piece):
        assert reader.get(f"{path_of(row)}/history").status_code == 404
        assert at(reader, row, "2030-01-01").status_code == 404
    assert history(other, foreign.piece, f"?company_guid={other_company.guid}")[0]["changes"] == {
        "cell": [None, "secret"]
    }


def test_an_operator_may_read_it_and_a_system_admin_anyones(family: Family, foreign: Family) -> None:
    operator = Api().with_user(UserFactory.create(company=family.project.company, role=Role.OPERATOR))
    assert history(operator, family.piece) == []
    admin = Api().with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN))
    assert history(admin, family.piece) == history(admin, foreign.piece) == []


# --- The triggers ------------------------------------------------------------------------------


def broken(cursor: Any) -> None:
    table = " ON pieces_piece" if connection.vendor == "postgresql" else ""
    cursor.execute(f"DROP TRIGGER piece_history{table}")


def disabled(cursor: Any) -> None:
    cursor.execute("ALTER TABLE pieces_piece DISABLE TRIGGER piece_history")


@pytest.mark.parametrize("harm", [broken, pytest.param(disabled, marks=pytest.mark.postgresql)])
def test_a_trigger_that_is_gone_is_missed_and_made_again(
    reader: Api, family: Family, harm: Callable[[Any], None]
) -> None:
    connection.check_constraints()  # what is still to be checked is in the way of an ALTER TABLE
    with connection.cursor() as cursor:
        harm(cursor)
    assert triggers.missing_triggers(connection) == {"piece_history"}
    triggers.install("default")
    assert triggers.missing_triggers(connection) == set()
    send(reader, family.piece, cell="x")
    assert len(history(reader, family.piece)) == 1
