"""`manage.py restore_deletion`: an entity or a deletion comes back, by the same rules as `POST /{guid}/restore`."""

import uuid

import pytest
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Deletion, Entity, Operation
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, is_active
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.staff import admin_of, text_of

pytestmark = pytest.mark.django_db

FIELDS = {"guid", "kind", "company_guid", "deletion_guid", "projects", "components", "assemblies", "pieces"}
ZERO = dict.fromkeys(("projects", "components", "assemblies", "pieces"), 0)


def delete(entity: Entity) -> Deletion:
    with every_company():
        delete_one(type(entity), entity.guid, origin=Origin(Operation.DELETE, "test"), now=timezone.now())
        deletion: Deletion = Deletion.objects.latest("guid")
    return deletion


def complaint(manage: Manage, guid: object) -> str:
    return manage("restore_deletion", guid).complaint


@pytest.mark.parametrize("by", ["entity", "deletion"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_brings_back_what_the_deletion_took(manage: Manage, family: Family, kind: str, by: str) -> None:
    before = PieceFactory.create(assembly=family.assembly)
    delete(before)
    deletion = delete(family[kind])
    outcome = manage("restore_deletion", family[kind].guid if by == "entity" else deletion.guid, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json.keys() == FIELDS
    assert outcome.json["guid"] == str(family[kind].guid)
    assert (outcome.json["kind"], outcome.json["deletion_guid"]) == (kind, str(deletion.guid))
    counts = {member.plural: 1 for member in family.from_level(kind)}
    assert {name: outcome.json[name] for name in ZERO} == ZERO | counts
    assert all(is_active(*family.from_level("project")))
    assert is_active(before) == [False]


def test_a_person_gets_lines_and_staff_see_who_did_it(manage: Manage, company: Company, family: Family) -> None:
    delete(family.component)
    outcome = manage("restore_deletion", family.component.guid)
    assert (outcome.code, outcome.err) == (0, "")
    assert ["pieces", "1"] in [line.split() for line in outcome.out.splitlines()]
    page = admin_of(company).get(f"/admin/pieces/component/{family.component.guid}/change/")
    assert "Restored by manage.py restore" in text_of(page)


def test_what_can_t_come_back_is_said_and_nothing_is_done(manage: Manage, family: Family) -> None:
    piece, component = family.piece, family.component
    assert complaint(manage, piece.guid) == f"There is no deleted piece {piece.guid}."
    deletion = delete(piece)
    delete(component)
    above = f"The component {component.guid} is deleted; restore it first."
    assert complaint(manage, piece.guid) == complaint(manage, deletion.guid) == above
    assert complaint(manage, family.assembly.guid) == above
    manage("restore_deletion", component.guid)
    holder = PieceFactory.create(assembly=family.assembly, piece_id=piece.piece_id)
    taken = f"piece_id {piece.piece_id!r} of piece {piece.guid} is taken by piece {holder.guid}."
    assert complaint(manage, piece.guid) == complaint(manage, deletion.guid) == taken
    with every_company():
        Deletion.objects.update(purged_at=timezone.now())
    assert complaint(manage, deletion.guid).startswith(f"The piece {piece.guid} is being purged")
    assert is_active(piece) == [False]


def test_a_deletion_is_undone_once(manage: Manage, family: Family) -> None:
    deletion = delete(family.piece)
    assert manage("restore_deletion", deletion.guid).code == 0
    unknown = f"there is neither an entity {deletion.guid} nor a deletion {deletion.guid} that is not restored"
    assert complaint(manage, deletion.guid) == unknown
    delete(family.piece)
    assert complaint(manage, deletion.guid) == unknown
    assert is_active(family.piece) == [False]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: GUID"),
        (["5"], "argument GUID: not a UUID: '5'"),
        ([""], "argument GUID: not a UUID: ''"),
        ([str(uuid.UUID(int=7))], f"nor a deletion {uuid.UUID(int=7)} that is not restored"),
        ([str(uuid.UUID(int=7)), str(uuid.UUID(int=8))], f"unrecognized arguments: {uuid.UUID(int=8)}"),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, arguments: list[str], complaint: str) -> None:
    assert manage("restore_deletion", *arguments).complaint.endswith(complaint)
