"""The planner with plain values: no database, no request, a moment of one's own."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from pieces.changes import Change, State
from pieces.content import content_of, digest_of
from pieces.models import Component, Entity, Kind, Piece
from sync.planning import Action, Context, Parent, Plan, Stored, make_plan, place
from sync.schemas import Item

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
COMPANY, PROJECT, OTHER_PROJECT, COMPONENT, DELETION = (uuid.UUID(int=number) for number in range(1, 6))
ONE, TWO = uuid.UUID(int=11), uuid.UUID(int=12)
IN_COMPONENT = (PROJECT, COMPONENT, None)
PARENTS = {
    Kind.PROJECT: {PROJECT.bytes: Parent(COMPANY, True, ()), OTHER_PROJECT.bytes: Parent(COMPANY, True, ())},
    Kind.COMPONENT: {COMPONENT.bytes: Parent(COMPANY, True, (PROJECT,))},
    Kind.ASSEMBLY: {},
}


def piece(**fields: Any) -> Item:
    names = {"piece_id": "1", "company_guid": COMPANY, "project_guid": PROJECT, "component_guid": COMPONENT}
    return names | fields


def stored(model: type[Entity] = Piece, *, active: bool = True, **fields: Any) -> Stored:
    """A row as the planner knows it; `fields` are its content."""
    content = content_of(model)
    blank: dict[str, Any] = content.blank | ({"piece_id": "1"} if model is Piece else {"code": "C"}) | fields
    return Stored(
        version="1",
        is_active=active,
        deleted_at=None if active else NOW,
        deletion=None if active else DELETION,
        digest=digest_of(content, content.pick(blank)),
        picture_digest=None,
        piece_id=blank.get("piece_id"),
        company=COMPANY,
        parents=IN_COMPONENT if model is Piece else (PROJECT,),
        content=blank,
    )


def plan(*pairs: tuple[Item, Stored | None], model: type[Entity] = Piece, **about: Any) -> Plan:
    """The plan for items, each with its row, which has the guid that the item names."""
    placed = [place(model, index, item, item["guid"], row) for index, (item, row) in enumerate(pairs)]
    known = {"parents": PARENTS, "holders": {}, "companies": frozenset([COMPANY.bytes])} | about
    return make_plan(model, Context(items=placed, **known))


def content(change: Change) -> dict[str, Any]:
    return dict(zip(content_of(Piece).names, change.content, strict=True))


def told(made: Plan) -> list[tuple[Any, ...]]:
    return [(*fault.loc[2:], fault.type) for fault in made.faults]


def test_an_unknown_guid_is_an_insert_with_its_defaults() -> None:
    made = plan((piece(guid=ONE, cell="x"), None))
    assert (made.actions, len(made.inserts)) == ([Action.INSERTED], 1)
    [change] = made.inserts
    assert (change.guid, change.company, change.version) == (ONE, COMPANY, None)
    assert change.state == State(True, None, None, IN_COMPONENT)
    assert content(change) == content_of(Piece).blank | {"piece_id": "1", "cell": "x"}
    assert [made.updates, made.deletions] == [[], []]


def test_an_equal_item_is_unchanged_and_nothing_is_written() -> None:
    made = plan((piece(guid=ONE, cell="x"), stored(cell="x", trolley="kept")))
    assert made.actions == [Action.UNCHANGED]
    assert [made.inserts, made.updates] == [[], []]


def test_an_update_keeps_what_is_omitted_and_must_find_the_version_that_was_seen() -> None:
    made = plan((piece(guid=ONE, cell="new"), stored(cell="old", trolley="kept")))
    [change] = made.updates
    assert (made.actions, change.guid, change.version, change.state) == ([Action.UPDATED], ONE, "1", None)
    assert (content(change)["cell"], content(change)["trolley"]) == ("new", "kept")
    assert made.is_plain


def test_is_active_decides_between_deletion_and_restore() -> None:
    gone = plan((piece(guid=ONE, is_active=False), stored()))
    assert (gone.actions, [deletion.root_guid for deletion in gone.deletions]) == ([Action.DELETED], [ONE])
    back = plan((piece(guid=ONE), stored(active=False)))
    assert back.actions == [Action.RESTORED]
    assert [(root.guid, root.deletion) for root in back.restored] == [(ONE, DELETION)]
    assert (gone.is_plain, back.is_plain) == (False, False)


def test_another_parent_is_a_move() -> None:
    item = {"guid": ONE, "code": "C", "company_guid": COMPANY, "project_guid": OTHER_PROJECT}
    made = plan((item, stored(Component)), model=Component)
    assert (made.actions, made.moved) == ([Action.UPDATED], [ONE])
    assert made.rests_on == {Kind.PROJECT: {OTHER_PROJECT.bytes: OTHER_PROJECT}}


def test_pieces_that_swap_their_piece_ids_are_out_of_the_way_meanwhile() -> None:
    holders = {(PROJECT.bytes, "1"): ONE, (PROJECT.bytes, "2"): TWO}
    made = plan(
        (piece(guid=ONE, piece_id="2"), stored()),
        (piece(guid=TWO, piece_id="1"), stored(piece_id="2")),
        holders=holders,
    )
    assert not made.faults
    assert sorted(made.out_of_the_way) == [ONE, TWO]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"guid": ONE, "company_guid": uuid.UUID(int=99)}, (0, "company_guid", "company_not_found")),
        ({"guid": ONE, "component_guid": uuid.UUID(int=99)}, (0, "component_guid", "parent_not_found")),
        ({"guid": ONE, "project_guid": OTHER_PROJECT}, (0, "component_guid", "parent_mismatch")),
        ({"guid": TWO}, (0, "guid", "guid_taken")),
    ],
)
def test_a_fault_is_told_at_its_place(item: Item, fault: tuple[Any, ...]) -> None:
    assert told(plan((piece(**item), None), taken=frozenset([TWO.bytes]))) == [fault]


def test_faults_are_in_the_order_of_the_items_whatever_found_them() -> None:
    made = plan(
        (piece(guid=ONE), None),
        (piece(guid=TWO, piece_id="1"), None),
        (piece(guid=ONE, piece_id="3"), None),
    )
    assert told(made) == [(1, "piece_id", "piece_id_taken"), (2, "guid", "guid_duplicate")]


def test_a_recognised_item_counts_for_duplicates_at_the_later_place() -> None:
    item, row = piece(guid=ONE, piece_id="2"), stored()
    made = [plan((item, row), recognised={ONE.bytes: place}) for place in (5, -1)]
    assert [told(each) for each in made] == [[(5, "guid", "guid_duplicate")], [(0, "guid", "guid_duplicate")]]


def test_a_recognised_piece_keeps_its_piece_id() -> None:
    held = {(PROJECT.bytes, "1"): TWO}
    made = plan((piece(guid=ONE), None), holders=held, recognised={TWO.bytes: 3})
    assert told(made) == [(0, "piece_id", "piece_id_taken")]
