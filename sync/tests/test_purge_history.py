"""`manage.py purge_history` and `history`; and that what is purged takes its history along."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from pieces import purging, triggers
from pieces.integrity import broken_invariants
from pieces.models import HISTORIES, Component, Piece
from pieces.tests.factories import PieceFactory
from sync.tests.batches import Sync, full_piece
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db


def broken() -> dict[str, int]:
    return {name: count for name, count in broken_invariants().items() if count}


@pytest.fixture
def changed(sync: Sync, component: Component) -> list[dict[str, object]]:
    """Three pieces, each sent four times."""
    items = [full_piece(component, number) for number in range(3)]
    for cell in "abcd":
        assert sync("pieces", *(item | {"cell": cell} for item in items)).status_code == 200
    return items


def age(days: int, cell: str) -> None:
    """As if this state had been replaced, by the next letter's, that many days ago."""
    moment, states = timezone.now() - timedelta(days=days), HISTORIES[Piece].objects
    assert states.filter(cell=cell).update(replaced_at=moment) == 3
    states.filter(cell=chr(ord(cell) + 1)).update(updated_at=moment)


def test_only_what_was_replaced_long_ago_goes(
    manage: Manage, changed: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "SLICE", 2)
    age(500, "a")
    age(300, "b")
    counts = {"projects": 0, "components": 0, "assemblies": 0, "pieces": 3}
    assert manage("purge_history", "--dry-run", "--json").json == counts
    assert HISTORIES[Piece].objects.count() == 9
    assert manage("purge_history", "--older-than", "400d", "--json").json == counts
    assert sorted(HISTORIES[Piece].objects.values_list("cell", flat=True)) == [*"bbbccc"]
    assert manage("purge_history", "--json").json == dict.fromkeys(counts, 0)
    assert broken() == {}


def test_a_day_is_the_least(manage: Manage) -> None:
    assert "so it needs --yes" in manage("purge_history", "--older-than", "0d").complaint


def test_what_is_not_kept_any_more_is_a_410(sync: Sync, manage: Manage, changed: list[dict[str, object]]) -> None:
    api = sync.api
    path = f"/api/v1/pieces/{changed[0]['guid']}"
    made, second = (entry["at"] for entry in reversed(api.get(f"{path}/history").json()[-2:]))
    states = HISTORIES[Piece].objects.filter(cell__in="ab")
    assert states.update(replaced_at=timezone.now() - timedelta(days=500)) == 6
    manage("purge_history")
    assert [entry["changes"] for entry in api.get(f"{path}/history").json()] == [{"cell": ["c", "d"]}]
    assert api.get(f"{path}?at={made}").status_code == api.get(f"{path}?at={second}").status_code == 410
    assert api.get(f"{path}?at=2001-01-01").status_code == 404


def test_purged_rows_take_their_history_along(manage: Manage, sync: Sync, changed: list[dict[str, object]]) -> None:
    sync("pieces", *(item | {"is_active": False} for item in changed[:2]))
    old = timezone.now() - timedelta(days=500)
    Piece.all_objects.filter(is_active=False).update(deleted_at=old)
    Piece.all_objects.filter(is_active=False).first().deletion.__class__.objects.update(created_at=old)
    assert manage("purge_deleted", "--older-than", "365d", "--json").json["pieces"] == 2
    assert {str(guid) for guid in HISTORIES[Piece].objects.values_list("guid", flat=True)} == {str(changed[2]["guid"])}
    assert broken() == {}


def test_the_command_shows_a_history(manage: Manage, changed: list[dict[str, object]]) -> None:
    outcome = manage("history", changed[0]["guid"])
    assert [line.split()[3] for line in outcome.out.splitlines() if " UTC " in line] == [*["updated"] * 3, "inserted"]
    assert '    cell: "c" -> "d"' in outcome.out
    assert len(manage("history", changed[0]["guid"], "--limit", 2, "--json").json["history"]) == 2
    missing = "00000000-0000-0000-0000-000000000001"
    assert missing in manage("history", missing).complaint


def test_a_write_past_the_trigger_is_found(sync: Sync, changed: list[dict[str, object]]) -> None:
    assert broken() == {}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER piece_history {'ON pieces_piece' if connection.vendor == 'postgresql' else ''}")
    sync("pieces", changed[0] | {"cell": "e"})
    triggers.install("default")
    sync("pieces", changed[0] | {"cell": "f"})
    assert broken() == {"piece_history_unconnected": 1}
    HISTORIES[Piece].objects.filter(guid=changed[1]["guid"], cell="b").delete()
    assert broken() == {"piece_history_unconnected": 2}


def test_a_trigger_that_is_missing_or_switched_off_is_found(db: None) -> None:
    PieceFactory.create()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            connection.check_constraints()
            cursor.execute("ALTER TABLE pieces_piece DISABLE TRIGGER piece_history")
        else:
            cursor.execute("DROP TRIGGER piece_history")
    assert broken() == {"history_trigger_missing": 1}
    if connection.vendor != "postgresql":  # there it is rolled back
        triggers.install("default")


def test_recent_changes_without_a_past_are_found(sync: Sync, changed: list[dict[str, object]]) -> None:
    states = HISTORIES[Piece].objects
    age(3, "a")
    assert broken() == {}
    states.filter(guid=changed[0]["guid"], cell="c").delete()
    assert broken() == {"piece_history_unconnected": 1, "piece_without_history": 1}
