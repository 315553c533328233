"""`GET /api/v1/{entity}/{guid}?at=`: a row as it was at a moment (contract, "History")."""

import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest

from pieces import history as reading_history
from pieces.models import HISTORIES, LEVELS_BY_KIND, MAX_PICTURE, Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import Family, path_of
from pieces.tests.pasts import at, by_hand, history, item, moment_of, send, send_all, unsaved
from ractory.api.tests.client import Api
from tenants.scope import every_company


def test_a_row_is_shown_as_it_was_at_each_moment(reader: Api, family: Family) -> None:
    states = []
    for step in ({"cell": "a"}, {"cell": "b", "outer_length": 5}, {"barcode": ""}, {"cell": None}):
        send(reader, family.piece, **step)
        states.append(reader.get(path_of(family.piece)).json())
    for state, later in zip(states, [*states[1:], None], strict=True):
        assert at(reader, family.piece, state["updated_at"]).json() == state
        if later:
            before = moment_of(later["updated_at"]) - timedelta(microseconds=1)
            assert at(reader, family.piece, before.isoformat()).json() == state
    assert at(reader, family.piece, "9999-12-31").json() == states[-1]


def test_a_state_made_by_hand_is_shown_too(reader: Api, family: Family) -> None:
    send(reader, family.piece, cell="a")
    synced = reader.get(path_of(family.piece)).json()
    by_hand(family.piece, cell="by hand")
    between = datetime.now(UTC)
    time.sleep(0.002)
    send(reader, family.piece, barcode="x")
    assert at(reader, family.piece, synced["updated_at"]).json() == synced
    assert at(reader, family.piece, between.isoformat()).json()["cell"] == "by hand"


def test_a_write_by_hand_comes_after_what_it_replaces_though_the_clock_has_gone_back(
    reader: Api, family: Family
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with every_company():
        Piece.all_objects.filter(guid=family.piece.guid).update(updated_at=ahead)
    state = reader.get(path_of(family.piece)).json()
    by_hand(family.piece, cell="by hand")
    send(reader, family.piece, cell="synced")
    by_sync, hand, _ = history(reader, family.piece)
    assert state["updated_at"] <= hand["at"] <= by_sync["at"]


@pytest.mark.parametrize("kind", LEVELS_BY_KIND)
def test_a_deleted_row_is_shown_as_it_was_before(reader: Api, family: Family, kind: str) -> None:
    before = reader.get(path_of(family[kind])).json()
    moment = datetime.now(UTC).isoformat()
    reader.delete(path_of(family.project))
    deleted = datetime.now(UTC).isoformat()
    shown = at(reader, family[kind], moment).json()
    assert shown == {name: value for name, value in before.items() if not name.endswith("_count")}
    assert at(reader, family[kind], deleted).status_code == 404
    told = at(reader, family[kind], deleted, "include_inactive=true").json()
    assert (told["is_active"], told["deleted_at"] is not None) == (False, True)
    reader.post(f"{path_of(family.project)}/restore")
    assert at(reader, family[kind], deleted).status_code == 404
    assert at(reader, family[kind], datetime.now(UTC).isoformat()).json()["is_active"] is True


def test_before_it_was_there_it_is_a_404(reader: Api, family: Family) -> None:
    new = unsaved(family)
    for cell in "ab":
        send(reader, new, cell=cell)
    created = moment_of(reader.get(path_of(new)).json()["created_at"])
    assert at(reader, new, (created - timedelta(microseconds=1)).isoformat()).status_code == 404
    assert at(reader, new, created.isoformat()).json()["cell"] == "a"
    assert at(reader, new, "0001-01-01").status_code == 404


def test_beyond_what_is_kept_it_is_a_410(reader: Api, family: Family) -> None:
    created = reader.get(path_of(family.piece)).json()["created_at"]
    for cell in "abc":
        send(reader, family.piece, cell=cell)
    moments = [entry["at"] for entry in reversed(history(reader, family.piece))]
    HISTORIES[Piece].objects.order_by("id").first().delete()
    assert at(reader, family.piece, moments[0]).status_code == 200
    gone = at(reader, family.piece, created)
    assert (gone.status_code, gone.json()) == (
        410,
        {"detail": f"What the piece {family.piece.guid} was at that moment is not kept any more."},
    )
    assert [entry["changes"]["cell"] for entry in history(reader, family.piece)] == [["b", "c"], ["a", "b"]]


def test_an_old_picture_comes_back_though_it_is_kept_once(reader: Api, family: Family) -> None:
    one, two = b"one" * 10, bytes(MAX_PICTURE)
    pictures = [None, one, one, two, None, one, two, two, None]
    moments = []
    for number, picture in enumerate(pictures):
        send(reader, family.component, picture=picture and b64encode(picture).decode(), designation=f"{number}")
        moments.append(reader.get(path_of(family.component), {"fields": "updated_at"}).json()["updated_at"])
    for number, (moment, picture) in enumerate(zip(moments, pictures, strict=True)):
        shown = at(reader, family.component, moment, "fields=picture,designation").json()
        assert shown["designation"] == f"{number}"
        assert (b64decode(shown["picture"]) if shown["picture"] is not None else None) == picture
    kept = HISTORIES[type(family.component)].objects.filter(picture__isnull=False)
    assert kept.count() == 4  # one, two, one, two: each once, where it went


def test_a_picture_of_a_row_that_was_written_twice_comes_back(reader: Api, family: Family) -> None:
    """The first of the two writes left the picture where it was, and the state between is not kept."""
    other, picture = PieceFactory.create(assembly=family.assembly), b"one"
    send(reader, family.piece, picture=b64encode(picture).decode())
    moment = reader.get(path_of(family.piece)).json()["updated_at"]
    swapped, new = ((family.piece, other), (other, family.piece)), b64encode(b"two").decode()
    send_all(reader, "pieces", *(item(row, piece_id=taken.piece_id, picture=new) for row, taken in swapped))
    assert b64decode(at(reader, family.piece, moment).json()["picture"]) == picture


def test_a_picture_that_changes_while_it_is_read_is_no_error(reader: Api, family: Family) -> None:
    send(reader, family.component, picture=b64encode(b"one").decode())
    component = type(family.component)
    state = reading_history.current_state(component, family.component.guid)
    send(reader, family.component, picture=b64encode(b"two").decode())
    assert reading_history.picture_of(component, state) == b"one"


def test_only_the_fields_that_are_asked_for_are_shown(reader: Api, family: Family) -> None:
    now = datetime.now(UTC).isoformat()
    assert at(reader, family.piece, now, "fields=piece_id,guid").json() == {
        "piece_id": family.piece.piece_id,
        "guid": str(family.piece.guid),
    }


def test_counts_of_the_past_are_a_422(reader: Api, family: Family) -> None:
    response = at(reader, family.project, "2030-01-01", "fields=code,piece_count")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "fields"]
    assert not [name for name in at(reader, family.project, "2030-01-01").json() if name.endswith("_count")]


@pytest.mark.parametrize(
    "value", ["", "x", "2030-13-01", "\0", "10000-01-01", "0000-01-01", "2030-01-01T00:00:00+99:00", "9" * 4000, "1e9"]
)
def test_a_bad_moment_is_a_422(reader: Api, family: Family, value: str) -> None:
    assert at(reader, family.piece, value).status_code == 422


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2030-01-01 00:00:00-12:00"])
def test_the_ends_of_time_are_moments(reader: Api, family: Family, value: str) -> None:
    send(reader, family.piece, cell="x")
    assert at(reader, family.piece, value).status_code in (200, 404, 410)
