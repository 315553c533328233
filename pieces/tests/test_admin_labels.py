"""Labels of pieces: whose, how many, and what their codes say. Whether a scanner can read them: walk_out.py."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pieces.admin import labels
from pieces.admin.labels import Label
from pieces.models import Piece
from pieces.tests.copies import copies
from pieces.tests.factories import ComponentFactory, PieceFactory
from pieces.tests.families import KINDS, Family
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory
from tenants.tests.staff import session_of, text_of

pytestmark = pytest.mark.django_db
LABELS = "/admin/pieces/piece/labels"


@pytest.fixture
def operator(company: Company) -> Client:
    return session_of(UserFactory.create(company=company, role=Role.OPERATOR))


def test_a_label_says_what_people_go_by(operator: Client, company: Company) -> None:
    piece = PieceFactory.create(company=company, barcode="4000", outer_length=1200, trolley_cell="T3-05")
    page = f"/admin/pieces/piece/{piece.guid}/change/"
    assert f'href="{LABELS}/piece/?guid={piece.guid}"' in operator.get(page).content.decode()
    answer = operator.get(f"{LABELS}/piece/?guid={piece.guid}&size=a4")
    assert f"{piece.piece_id} T3-05 1200 mm {piece.project.code} 4000" in text_of(answer)
    assert "labels-a4.css" in answer.content.decode()
    assert "labels-roll.css" in operator.get(f"{LABELS}/piece/?guid={piece.guid}").content.decode()
    copies(piece, 5, barcode="NULL")
    text = text_of(operator.get(f"{LABELS}/component/?guid={piece.component_guid}"))
    assert "Print 6 labels" in text
    assert "copy-5 (piece id: no barcode)" in text


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_of_what_is_in_it_and_of_nobody_else(
    operator: Client, family: Family, foreign: Family, kind: str
) -> None:
    with CaptureQueriesContext(connection) as few:
        text = text_of(operator.get(f"{LABELS}/{kind}/?guid={family[kind].guid}&guid={foreign[kind].guid}"))
    assert "Print 1 label" in text
    copies(family.piece, 30)
    with CaptureQueriesContext(connection) as many:
        text = text_of(operator.get(f"{LABELS}/{kind}/?guid={family[kind].guid}"))
    assert ("Print 1 label" if kind == "piece" else "Print 31 labels") in text
    assert len(many) == len(few)
    for path in (
        f"{kind}/?guid={foreign[kind].guid}",
        f"nothing/?guid={family[kind].guid}",
        f"{kind}/",
        f"{kind}/?guid=x",
    ):
        assert operator.get(f"{LABELS}/{path}").status_code == 404
    empty = ComponentFactory.create(project=family.project)
    assert "There is no piece" in text_of(operator.get(f"{LABELS}/component/?guid={empty.guid}"))


def test_those_marked_in_the_list_are_printed_but_the_deleted_ones(operator: Client, family: Family) -> None:
    gone = PieceFactory.create(component=family.component)
    manager = session_of(UserFactory.create(company=family.piece.company, role=Role.PROJECT_MANAGER))
    assert manager.post("/admin/pieces/piece/remove/", {"guid": str(gone.guid)}).status_code == 302
    with every_company():
        chosen = list(Piece.all_objects.filter(company=family.piece.company).values_list("guid", flat=True))
    action = {"action": "print_labels", "_selected_action": list(map(str, chosen))}
    answer = operator.post("/admin/pieces/piece/?deleted=shown", action, follow=True)
    text = text_of(answer)
    assert "One of the pieces chosen has no label: deleted by now." in text
    assert "Print 1 label" in text


def test_there_is_an_end_to_them_and_the_page_says_so(
    operator: Client, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MAX_LABELS", 10)
    copies(family.piece, 9)
    assert "There are more than" not in text_of(operator.get(f"{LABELS}/project/?guid={family.project.guid}"))
    PieceFactory.create(component=family.component)
    text = text_of(operator.get(f"{LABELS}/project/?guid={family.project.guid}"))
    assert "There are more than 10 pieces in it" in text
    assert "Print 10 labels" in text


@pytest.mark.parametrize(
    ("barcode", "has_bars"),
    [("400000000003", True), ("9912", True), ("a b*C~", True), ("x" * 26, True), ("x" * 27, False)]
    + [(text, False) for text in ("Öl", "tab\there", "ñ", "½", "٣", "4" * 255)],
)
def test_what_no_bars_can_say_has_only_the_other_code(barcode: str, has_bars: bool) -> None:
    label = Label(Piece(barcode=barcode))
    assert bool(label.bars) == has_bars
    assert label.qr.startswith("<svg")


def test_bars_begin_and_end_in_white(company: Company) -> None:
    svg = Label(Piece(barcode="400000000003")).bars
    assert svg
    [width] = re.findall(r'viewBox="0 0 (\d+) 1"', svg)
    starts, widths = zip(*re.findall(r"M(\d+) 0h(\d+)", svg), strict=True)
    assert int(starts[0]) == 10
    assert int(starts[-1]) + int(widths[-1]) == int(width) - 10


@pytest.mark.parametrize(
    ("fields", "code", "instead"),
    [
        ({"barcode": "4"}, "4", ""),
        ({"piece_id": "P"}, "P", "piece id"),
        ({"barcode": "", "piece_id": ""}, None, "guid"),
    ],
)
def test_a_piece_without_a_barcode_is_found_by_what_it_has(fields: dict[str, str], code: str, instead: str) -> None:
    label = Label(Piece(**fields))
    assert (label.code, label.instead) == (code or str(label.piece.guid), instead)
