"""`GET /api/v1/{entity}/{guid}/history` and `?at=`: what a row was, who changed it and when (contract, "History")."""

import json
import time
import uuid
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pieces import history as reading_history
from pieces import triggers
from pieces.models import HISTORIES, LEVELS_BY_KIND, MAX_PICTURE, Deletion, Piece
from pieces.tests.factories import ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import Family, path_of
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory, issue_key

Entry = dict[str, Any]


@pytest.fixture
def client(api: Api, key: str) -> Api:
    return api.with_key(key)


def item(row: Any, **fields: Any) -> dict[str, Any]:
    """What a sync must send of the row, and these fields."""
    named = {name: getattr(row, name) for name in ("guid", *NEEDED[row.kind])} | fields
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in named.items()}


def send(client: Api, row: Any, **fields: Any) -> str:
    """Syncs the row with these fields; the guid of the run."""
    return send_all(client, row.plural, item(row, **fields))


def send_all(client: Api, plural: str, *items: dict[str, Any], **headers: str) -> str:
    response = client.post(f"/api/v1/sync/{plural}", {plural: items}, headers=headers)
    assert response.status_code == 200, response.content
    return str(response["X-Sync-Run"])


def unsaved(family: Family) -> Piece:
    """A piece that is yet to be sent."""
    above = {name: getattr(family.assembly, name) for name in ("company_guid", "project_guid", "component_guid")}
    return Piece(piece_id="new", assembly_guid=None, **above)


NEEDED: dict[str, tuple[str, ...]] = {
    "project": ("company_guid", "code"),
    "component": ("company_guid", "project_guid", "code"),
    "assembly": ("company_guid", "project_guid", "component_guid"),
    "piece": ("company_guid", "project_guid", "component_guid", "assembly_guid", "piece_id"),
}


def history(client: Api, row: Any, query: str = "") -> list[Entry]:
    response = client.get(f"{path_of(row)}/history{query}")
    assert response.status_code == 200, response.content
    entries: list[Entry] = response.json()
    return entries


def at(client: Api, row: Any, moment: Any, query: str = "") -> Any:
    return client.get(path_of(row), {"at": moment, **dict(pair.split("=") for pair in query.split("&") if pair)})


def by_hand(row: Any, **columns: Any) -> None:
    """A write by SQL, past the server."""
    time.sleep(0.002)  # SQLite's own clock has milliseconds
    sets = ", ".join(f"{name} = %s" for name in columns)
    sql = f"UPDATE {row._meta.db_table} SET {sets} WHERE guid = %s"  # noqa: S608  # the test's own names
    guid = row.guid if connection.vendor == "postgresql" else row.guid.hex
    with connection.cursor() as cursor:
        cursor.execute(sql, [*columns.values(), guid])
        assert cursor.rowcount == 1
    time.sleep(0.002)


def digest(picture: bytes) -> str:
    return blake2b(picture, digest_size=16).hexdigest()


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- What an entry says ------------------------------------------------------------------------


def test_an_insert_and_an_update_are_an_entry_each_the_newest_first(client: Api, family: Family) -> None:
    new = unsaved(family)
    first = send(client, new, outer_length=1200)
    second = send_all(client, "pieces", item(new, outer_length=1250, barcode="X1"), x_request_id="r-2")
    updated, inserted = history(client, new)
    row = client.get(path_of(new)).json()
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


def test_what_stays_as_it_is_has_no_entry(client: Api, family: Family) -> None:
    send(client, family.piece, cell="x")
    before = history(client, family.piece)
    send(client, family.piece, cell="x")
    client.post("/api/v1/sync/pieces?dry_run=true", {"pieces": [{"guid": str(family.piece.guid)}]})
    assert history(client, family.piece) == before


def test_an_empty_text_and_null_are_told_apart(client: Api, family: Family) -> None:
    send(client, family.piece, cell="", info2="x")
    send(client, family.piece, cell=None, info2="")
    cleared, set_ = history(client, family.piece)
    assert cleared["changes"] == {"cell": ["", None], "info2": ["x", ""]}
    assert set_["changes"] == {"cell": [None, ""], "info2": [None, "x"]}


def test_times_are_in_utc_with_a_z(client: Api, family: Family) -> None:
    send(client, family.project, due_date="2030-05-01T12:00:00+02:00")
    [entry] = history(client, family.project)
    assert entry["changes"] == {"due_date": [None, "2030-05-01T10:00:00Z"]}
    assert entry["at"].endswith("Z")


@pytest.mark.parametrize("kind", LEVELS_BY_KIND)
def test_a_deletion_and_a_restore_are_entries_of_everything_that_they_took(
    client: Api, family: Family, kind: str
) -> None:
    deleted = client.delete(path_of(family[kind]))["X-Sync-Run"]
    restored = client.post(f"{path_of(family[kind])}/restore")["X-Sync-Run"]
    deletion = Deletion.objects.get()
    for row in family.from_level(kind):
        back, gone = history(client, row)
        assert (gone["action"], gone["run_guid"]) == ("deleted", deleted)
        assert (back["action"], back["run_guid"]) == ("restored", restored)
        assert gone["deletion_guid"] == back["deletion_guid"] == str(deletion.guid)
        assert gone["changes"] == {"is_active": [True, False], "deleted_at": [None, gone["changes"]["deleted_at"][1]]}
        assert back["changes"] == {"is_active": [False, True], "deleted_at": gone["changes"]["deleted_at"][::-1]}


def test_a_deleted_row_has_its_history(client: Api, family: Family) -> None:
    client.delete(path_of(family.project))
    assert client.get(path_of(family.piece)).status_code == 404
    assert [entry["action"] for entry in history(client, family.piece)] == ["deleted"]


def test_a_move_is_an_entry_of_everything_below_too(client: Api, family: Family) -> None:
    other = ProjectFactory.create(company=family.project.company)
    run = send(client, family.component, project_guid=other.guid, designation="x")
    change = {"project_guid": [str(family.project.guid), str(other.guid)]}
    for row in (family.component, family.assembly, family.piece):
        [entry] = history(client, row)
        assert (entry["action"], entry["run_guid"]) == ("moved", run)
        assert entry["changes"] == change | ({"designation": [None, "x"]} if row is family.component else {})


def test_a_move_that_deletes_is_a_deletion(client: Api, family: Family) -> None:
    other = ComponentFactory.create(project=family.project)
    send(client, family.assembly, component_guid=other.guid, is_active=False)
    [entry] = history(client, family.assembly)
    assert entry["action"] == "deleted"
    assert {"component_guid", "is_active", "deleted_at"} == entry["changes"].keys()
    [below] = history(client, family.piece)
    assert (below["action"], set(below["changes"])) == ("deleted", {"component_guid", "is_active", "deleted_at"})


def test_what_one_act_writes_twice_is_one_entry(client: Api, family: Family) -> None:
    """Pieces that swap their piece_ids are out of each other's way in between."""
    other = PieceFactory.create(assembly=family.assembly)
    swapped = ((family.piece, other), (other, family.piece))
    send_all(client, "pieces", *(item(row, piece_id=taken.piece_id) for row, taken in swapped))
    [entry] = history(client, family.piece)
    assert (entry["action"], entry["changes"]) == ("updated", {"piece_id": [family.piece.piece_id, other.piece_id]})


def test_a_write_by_sql_has_its_entry(client: Api, family: Family) -> None:
    for row, column, old in (
        (family.project, "code", family.project.code),
        (family.component, "designation", None),
        (family.assembly, "trolley", None),
        (family.piece, "barcode", None),
    ):
        before = datetime.now(UTC)
        by_hand(row, **{column: "by hand"})
        [entry] = history(client, row)
        assert before - timedelta(milliseconds=2) < moment_of(entry.pop("at")) < datetime.now(UTC)
        assert entry == {
            **{"action": "updated", "actor": None, "run_guid": None, "request_id": None, "deletion_guid": None},
            "changes": {column: [old, "by hand"]},
        }


def test_writes_by_sql_between_syncs_have_entries_of_their_own(client: Api, family: Family) -> None:
    runs = [send(client, family.piece, cell="a")]
    for text in ("b", "c"):
        by_hand(family.piece, cell=text)
    runs.append(send(client, family.piece, cell="d"))
    by_hand(family.piece, cell="e")
    entries = history(client, family.piece)
    assert [entry["changes"]["cell"] for entry in entries] == [list(pair) for pair in ("de", "cd", "bc", "ab")] + [
        [None, "a"]
    ]
    assert [entry["run_guid"] for entry in entries] == [None, runs[1], None, None, runs[0]]
    moments = [entry["at"] for entry in entries]
    assert moments == sorted(moments, reverse=True)


def test_a_write_of_many_rows_by_sql_is_one_entry_each(client: Api, family: Family) -> None:
    pieces = [family.piece, *(PieceFactory.create(assembly=family.assembly) for _ in range(4))]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pieces_piece SET cell = piece_id")
    assert [history(client, piece)[0]["changes"]["cell"] for piece in pieces] == [
        [None, piece.piece_id] for piece in pieces
    ]


def test_a_picture_shows_as_its_digests(client: Api, family: Family) -> None:
    one, two = b"one", b"two" * 1000
    for picture in (one, two, None):
        send(client, family.component, picture=picture and b64encode(picture).decode())
    assert [entry["changes"]["picture"] for entry in history(client, family.component)] == [
        [digest(two), None],
        [digest(one), digest(two)],
        [None, digest(one)],
    ]


# --- Its pages ---------------------------------------------------------------------------------


def follow(client: Api, path: str) -> list[list[Entry]]:
    """All pages, by their links."""
    pages = []
    while path:
        response = client.get(path)
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
def test_pages_follow_each_other_without_gap_or_double(client: Api, family: Family, limit: int) -> None:
    new = unsaved(family)
    for cell in "abcd":
        send(client, new, cell=cell)
    pages = follow(client, f"{path_of(new)}/history?limit={limit}")
    cells = [entry["changes"]["cell"][1] for page in pages for entry in page]
    assert cells == ["d", "c", "b", "a"]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1][-1]["action"] == "inserted"
    assert len(pages) == -(-4 // limit)


def test_what_comes_in_meanwhile_shifts_no_page(client: Api, family: Family) -> None:
    for cell in "abcd":
        send(client, family.piece, cell=cell)
    first = client.get(f"{path_of(family.piece)}/history?limit=2")
    for cell in "ef":
        send(client, family.piece, cell=cell)
    path = first["Link"].removesuffix('>; rel="next"').removeprefix("<http://testserver")
    rest = [entry["changes"]["cell"][1] for page in follow(client, path) for entry in page]
    assert rest == ["b", "a"]


def test_ten_thousand_changes_are_paged_through_in_a_fixed_number_of_queries(client: Api, family: Family) -> None:
    def counted(times: int) -> list[int]:
        piece = PieceFactory.create(assembly=family.assembly)
        changed_often(piece, times)
        long_ago = HISTORIES[Piece].objects.filter(guid=piece.guid).order_by("id")[9].replaced_at
        path = f"{path_of(piece)}/history"
        cursor = client.get(f"{path}?limit=5")["Link"].partition("cursor=")[2].partition(">")[0]
        counts = []
        for query in ("", "?limit=20", f"?limit=20&cursor={cursor}", f"?at={long_ago:%Y-%m-%dT%H:%M:%S.%fZ}"):
            with CaptureQueriesContext(connection) as queries:
                response = client.get(path_of(piece) + query if "at=" in query else path + query)
            assert response.status_code == 200
            counts.append(len(queries))
        assert response.json()["cell"] == "9"
        return counts

    assert counted(30) == counted(10_000)


def test_a_page_of_long_entries_ends_early(client: Api, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_history, "MAX_PAGE_BYTES", 100_000)
    for number in range(12):
        send(client, family.piece, **dict.fromkeys(("info2", "info3", "operations"), f"{number}" * 2000))
    pages = follow(client, f"{path_of(family.piece)}/history?limit=100")
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
def test_a_bad_parameter_is_a_422(client: Api, family: Family, query: str) -> None:
    response = client.get(f"{path_of(family.piece)}/history?{query}")
    assert response.status_code == 422, response.content


@pytest.mark.parametrize("id", [0, -1, 10**9, 2**63 - 1, 2**63, 2**70, -(2**63), -(2**80), 1e9, "-9", None, [1]])
def test_a_cursor_that_nobody_was_given_is_refused(client: Api, family: Family, id: Any) -> None:
    send(client, family.piece, cell="a")
    cursor = urlsafe_b64encode(json.dumps(["-id", id]).encode()).decode().rstrip("=")
    response = client.get(f"{path_of(family.piece)}/history", {"cursor": cursor})
    assert response.status_code in (410, 422), response.content


def test_a_cursor_of_another_row_is_a_410(client: Api, family: Family) -> None:
    for row in (family.piece, other := PieceFactory.create(assembly=family.assembly)):
        for cell in "abc":
            send(client, row, cell=cell)
    cursor = client.get(f"{path_of(family.piece)}/history?limit=1")["Link"].partition("cursor=")[2].partition(">")[0]
    assert client.get(f"{path_of(other)}/history?cursor={cursor}").status_code == 410


# --- As it was ---------------------------------------------------------------------------------


def test_a_row_is_shown_as_it_was_at_each_moment(client: Api, family: Family) -> None:
    states = []
    for step in ({"cell": "a"}, {"cell": "b", "outer_length": 5}, {"barcode": ""}, {"cell": None}):
        send(client, family.piece, **step)
        states.append(client.get(path_of(family.piece)).json())
    for state, later in zip(states, [*states[1:], None], strict=True):
        assert at(client, family.piece, state["updated_at"]).json() == state
        if later:
            before = moment_of(later["updated_at"]) - timedelta(microseconds=1)
            assert at(client, family.piece, before.isoformat()).json() == state
    assert at(client, family.piece, "9999-12-31").json() == states[-1]


def test_a_state_made_by_hand_is_shown_too(client: Api, family: Family) -> None:
    send(client, family.piece, cell="a")
    synced = client.get(path_of(family.piece)).json()
    by_hand(family.piece, cell="by hand")
    between = datetime.now(UTC)
    time.sleep(0.002)
    send(client, family.piece, barcode="x")
    assert at(client, family.piece, synced["updated_at"]).json() == synced
    assert at(client, family.piece, between.isoformat()).json()["cell"] == "by hand"


def test_a_write_by_hand_comes_after_what_it_replaces_though_the_clock_has_gone_back(
    client: Api, family: Family
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with every_company():
        Piece.all_objects.filter(guid=family.piece.guid).update(updated_at=ahead)
    state = client.get(path_of(family.piece)).json()
    by_hand(family.piece, cell="by hand")
    send(client, family.piece, cell="synced")
    by_sync, hand, _ = history(client, family.piece)
    assert state["updated_at"] <= hand["at"] <= by_sync["at"]


@pytest.mark.parametrize("kind", LEVELS_BY_KIND)
def test_a_deleted_row_is_shown_as_it_was_before(client: Api, family: Family, kind: str) -> None:
    before = client.get(path_of(family[kind])).json()
    moment = datetime.now(UTC).isoformat()
    client.delete(path_of(family.project))
    deleted = datetime.now(UTC).isoformat()
    shown = at(client, family[kind], moment).json()
    assert shown == {name: value for name, value in before.items() if not name.endswith("_count")}
    assert at(client, family[kind], deleted).status_code == 404
    told = at(client, family[kind], deleted, "include_inactive=true").json()
    assert (told["is_active"], told["deleted_at"] is not None) == (False, True)
    client.post(f"{path_of(family.project)}/restore")
    assert at(client, family[kind], deleted).status_code == 404
    assert at(client, family[kind], datetime.now(UTC).isoformat()).json()["is_active"] is True


def test_before_it_was_there_it_is_a_404(client: Api, family: Family) -> None:
    new = unsaved(family)
    for cell in "ab":
        send(client, new, cell=cell)
    created = moment_of(client.get(path_of(new)).json()["created_at"])
    assert at(client, new, (created - timedelta(microseconds=1)).isoformat()).status_code == 404
    assert at(client, new, created.isoformat()).json()["cell"] == "a"
    assert at(client, new, "0001-01-01").status_code == 404


def test_beyond_what_is_kept_it_is_a_410(client: Api, family: Family) -> None:
    created = client.get(path_of(family.piece)).json()["created_at"]
    for cell in "abc":
        send(client, family.piece, cell=cell)
    moments = [entry["at"] for entry in reversed(history(client, family.piece))]
    HISTORIES[Piece].objects.order_by("id").first().delete()
    assert at(client, family.piece, moments[0]).status_code == 200
    gone = at(client, family.piece, created)
    assert (gone.status_code, gone.json()) == (
        410,
        {"detail": f"What the piece {family.piece.guid} was at that moment is not kept any more."},
    )
    assert [entry["changes"]["cell"] for entry in history(client, family.piece)] == [["b", "c"], ["a", "b"]]


def test_an_old_picture_comes_back_though_it_is_kept_once(client: Api, family: Family) -> None:
    one, two = b"one" * 10, bytes(MAX_PICTURE)
    pictures = [None, one, one, two, None, one, two, two, None]
    moments = []
    for number, picture in enumerate(pictures):
        send(client, family.component, picture=picture and b64encode(picture).decode(), designation=f"{number}")
        moments.append(client.get(path_of(family.component), {"fields": "updated_at"}).json()["updated_at"])
    for number, (moment, picture) in enumerate(zip(moments, pictures, strict=True)):
        shown = at(client, family.component, moment, "fields=picture,designation").json()
        assert shown["designation"] == f"{number}"
        assert (b64decode(shown["picture"]) if shown["picture"] is not None else None) == picture
    kept = HISTORIES[type(family.component)].objects.filter(picture__isnull=False)
    assert kept.count() == 4  # one, two, one, two: each once, where it went


def test_a_picture_of_a_row_that_was_written_twice_comes_back(client: Api, family: Family) -> None:
    """The first of the two writes left the picture where it was, and the state between is not kept."""
    other, picture = PieceFactory.create(assembly=family.assembly), b"one"
    send(client, family.piece, picture=b64encode(picture).decode())
    moment = client.get(path_of(family.piece)).json()["updated_at"]
    swapped, new = ((family.piece, other), (other, family.piece)), b64encode(b"two").decode()
    send_all(client, "pieces", *(item(row, piece_id=taken.piece_id, picture=new) for row, taken in swapped))
    assert b64decode(at(client, family.piece, moment).json()["picture"]) == picture


def test_a_picture_that_changes_while_it_is_read_is_no_error(client: Api, family: Family) -> None:
    send(client, family.component, picture=b64encode(b"one").decode())
    component = type(family.component)
    state = reading_history.current_state(component, family.component.guid)
    send(client, family.component, picture=b64encode(b"two").decode())
    assert reading_history.picture_of(component, state) == b"one"


def test_only_the_fields_that_are_asked_for_are_shown(client: Api, family: Family) -> None:
    now = datetime.now(UTC).isoformat()
    assert at(client, family.piece, now, "fields=piece_id,guid").json() == {
        "piece_id": family.piece.piece_id,
        "guid": str(family.piece.guid),
    }


def test_counts_of_the_past_are_a_422(client: Api, family: Family) -> None:
    response = at(client, family.project, "2030-01-01", "fields=code,piece_count")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "fields"]
    assert not [name for name in at(client, family.project, "2030-01-01").json() if name.endswith("_count")]


@pytest.mark.parametrize(
    "value", ["", "x", "2030-13-01", "\0", "10000-01-01", "0000-01-01", "2030-01-01T00:00:00+99:00", "9" * 4000, "1e9"]
)
def test_a_bad_moment_is_a_422(client: Api, family: Family, value: str) -> None:
    assert at(client, family.piece, value).status_code == 422


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2030-01-01 00:00:00-12:00"])
def test_the_ends_of_time_are_moments(client: Api, family: Family, value: str) -> None:
    send(client, family.piece, cell="x")
    assert at(client, family.piece, value).status_code in (200, 404, 410)


# --- Whose it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("guid", ["x", "%00", "%ED%A0%80", "9" * 3000, str(uuid.uuid4())])
def test_a_row_that_does_not_exist_is_a_404(client: Api, guid: str) -> None:
    for path in (f"/api/v1/pieces/{guid}/history", f"/api/v1/pieces/{guid}?at=2030-01-01"):
        assert client.get(path).status_code == 404


def test_a_foreign_row_does_not_exist(client: Api, foreign: Family, other_company: Company) -> None:
    other = Api().with_key(issue_key(other_company))
    send(other, foreign.piece, cell="secret")
    for row in (foreign.project, foreign.piece):
        assert client.get(f"{path_of(row)}/history").status_code == 404
        assert at(client, row, "2030-01-01").status_code == 404
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
    client: Api, family: Family, harm: Callable[[Any], None]
) -> None:
    connection.check_constraints()  # what is still to be checked is in the way of an ALTER TABLE
    with connection.cursor() as cursor:
        harm(cursor)
    assert triggers.missing_triggers(connection) == {"piece_history"}
    triggers.install("default")
    assert triggers.missing_triggers(connection) == set()
    send(client, family.piece, cell="x")
    assert len(history(client, family.piece)) == 1
