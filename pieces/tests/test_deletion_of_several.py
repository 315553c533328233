"""A deletion that took several rows of a level, as completing a set does: it comes back, or is purged, as a whole."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import Acts, delete_together, restore
from pieces.changes import Root as DeletedRoot
from pieces.integrity import broken_invariants
from pieces.models import Component, Deletion, Operation, Piece
from pieces.tests.factories import ComponentFactory, PieceFactory
from pieces.tests.families import is_active
from ractory.api.retry import in_transaction
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.staff import admin_of, text_of

pytestmark = pytest.mark.django_db

ORIGIN = Origin(Operation.COMPLETE, "test")


@pytest.fixture
def components(company: Company) -> list[Component]:
    """Three of one project, each with a piece, in the order of their guids."""
    first = ComponentFactory.create(company=company)
    made = [first, *(ComponentFactory.create(project=first.project) for _ in range(2))]
    for component in made:
        PieceFactory.create(component=component, assembly=None, piece_id=str(component.guid))
    return sorted(made, key=lambda component: component.guid.int)


def delete(components: list[Component], days: int = 0) -> Deletion:
    acts = Acts(ORIGIN, now=timezone.now() - timedelta(days=days))
    guids = [component.guid for component in components]
    with every_company():
        deletion: Deletion = Deletion(company_guid=components[0].company_guid, kind=Component.kind.value)
        in_transaction(lambda: delete_together(deletion, guids, acts=acts))
        deletion.refresh_from_db()
    return deletion


def restore_alone(component: Component) -> None:
    """As a sync of that one item does."""

    def work() -> None:
        acts = Acts(ORIGIN)
        acts.of(component.company_guid)
        restore(Component, [DeletedRoot(component.guid, Deletion.objects.get().guid)], acts=acts)

    with every_company():
        in_transaction(work)


@pytest.mark.parametrize("by", ["deletion", "entity"])
def test_the_command_brings_back_what_it_still_holds(manage: Manage, components: list[Component], by: str) -> None:
    deletion = delete(components)
    restore_alone(components[0])  # the one that the record names
    told = manage("restore", {"deletion": deletion.guid, "entity": components[2].guid}[by], "--json").json
    assert (told["components"], told["pieces"]) == (2, 2)
    assert is_active(*components) == [True] * 3
    assert f"nor a deletion {deletion.guid} that is not restored" in manage("restore", deletion.guid).complaint


def test_the_trash_says_how_many_and_brings_back_what_it_still_holds(
    company: Company, components: list[Component]
) -> None:
    staff, deletion = admin_of(company), delete(components)
    assert f"component {components[0].code} and 2 more" in text_of(staff.get("/admin/pieces/deletion/"))
    restore_alone(components[0])
    assert "2 components, 2 pieces" in text_of(staff.get(f"/admin/pieces/deletion/restore/?guid={deletion.guid}"))
    assert staff.post("/admin/pieces/deletion/restore/", {"guid": [deletion.guid]}).status_code == 302
    assert is_active(*components) == [True] * 3


def test_it_is_listed_with_how_many_it_was_of(manage: Manage, components: list[Component]) -> None:
    delete(components)
    [listed] = manage("list_deletions", "--json").json["deletions"]
    assert (listed["name"], listed["pieces"]) == (f"{components[0].code} and 2 more", 3)


@pytest.mark.parametrize("back", [0, 1])
def test_it_is_purged_but_for_what_is_back(manage: Manage, components: list[Component], back: int) -> None:
    delete(components, days=400)
    restore_alone(components[back])
    counts = manage("purge_deleted", "--older-than", "365d", "--json").json
    assert (counts["components"], counts["pieces"], counts["kept"]) == (2, 2, 0)
    assert is_active(components[back]) == [True]
    with every_company():
        assert (Component.all_objects.count(), Piece.all_objects.count()) == (1, 1)
        assert {name: count for name, count in broken_invariants().items() if count} == {}
