"""`manage.py list_deletions`: newest first, with names, counts, and what became of them."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Deletion, Entity, Operation, Piece
from pieces.tests.families import Family
from tenants.scope import every_company
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db

ORIGIN = Origin(Operation.DELETE, "user:anna@example.com", "request-1")
BO = Origin(Operation.RESTORE, "user:bo@example.com")
FIELDS = {
    *("guid", "kind", "name", "root_guid", "company_guid", "actor", "created_at"),
    *("components", "assemblies", "pieces", "restored_at", "restored_by", "purged_at"),
}


def delete(entity: Entity, days: int = 0) -> None:
    with every_company():
        delete_one(type(entity), entity.guid, origin=ORIGIN, now=timezone.now() - timedelta(days=days))


def listed(manage: Manage, *arguments: object) -> list[str]:
    """The kinds of the deletions."""
    outcome = manage("list_deletions", "--json", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    return [deletion["kind"] for deletion in outcome.json["deletions"]]


@pytest.fixture
def _deleted(family: Family, foreign: Family) -> None:
    """A piece, its assembly two days later, and a foreign project."""
    delete(family.piece, days=3)
    delete(family.assembly, days=1)
    delete(foreign.project)


def test_one_json_object_tells_all(manage: Manage, family: Family) -> None:
    delete(family.component)
    answer = manage("list_deletions", "--json").json
    assert answer.keys() == {"deletions", "more"}
    [deletion] = answer["deletions"]
    assert deletion.keys() == FIELDS
    with every_company():
        stored = Deletion.objects.get()
    component = family.component
    assert (deletion["guid"], deletion["created_at"]) == (str(stored.guid), str(stored.created_at))
    assert (deletion["kind"], deletion["actor"]) == ("component", "user:anna@example.com")
    assert (deletion["name"], deletion["company_guid"]) == (component.code, str(component.company_guid))
    assert [deletion[name] for name in ("components", "assemblies", "pieces")] == [0, 1, 1]
    assert [deletion[name] for name in ("restored_at", "restored_by", "purged_at")] == [None] * 3


@pytest.mark.usefixtures("_deleted")
def test_newest_first_and_only_what_was_asked_for(manage: Manage, family: Family) -> None:
    assert listed(manage) == ["project", "assembly", "piece"]
    assert listed(manage, "--company", family.project.company_guid) == ["assembly", "piece"]
    assert listed(manage, "--limit", 2) == ["project", "assembly"]
    assert [manage("list_deletions", "--json", "--limit", limit).json["more"] for limit in (2, 3)] == [True, False]
    assert manage("list_deletions", "--limit", 2).out.splitlines()[2:] == ["There are more: --limit."]


@pytest.mark.usefixtures("_deleted")
def test_a_person_gets_a_line_each(manage: Manage, family: Family) -> None:
    outcome = manage("list_deletions")
    assert (outcome.code, outcome.err) == (0, "")
    project, assembly, piece = (line.split() for line in outcome.out.splitlines())
    assert (project[1], project[3:6]) == ("project", ["1", "1", "1"])
    assert assembly[1:3] == ["assembly", family.assembly.trolley_cell]
    assert piece[1:3] == ["piece", family.piece.piece_id]
    assert "user:anna@example.com" in piece


def test_without_deletions_it_says_so(manage: Manage) -> None:
    assert manage("list_deletions").out == "There are none.\n"


def test_a_name_can_t_write_lines_of_its_own(manage: Manage, family: Family) -> None:
    with every_company():
        Piece.objects.update(piece_id="a\nb\x1b[2J")
    delete(family.piece)
    [line] = manage("list_deletions").out.splitlines()
    assert r"'a\nb\x1b[2J'" in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--company", "5"], "argument --company: not a UUID: '5'"),
        (["--company", str(uuid.UUID(int=7))], f"there is no company {uuid.UUID(int=7)}"),
        *((["--limit", text], f"not a number from 1 to 10000: {text!r}") for text in ("0", "x", "1.5", "²", "10001")),
        (["--limit=-1"], "not a number from 1 to 10000: '-1'"),
        (["--limit", "9" * 5000], "9'"),
        (["all"], "unrecognized arguments: all"),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, arguments: list[str], complaint: str) -> None:
    assert manage("list_deletions", *arguments).complaint.endswith(complaint)
