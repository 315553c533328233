"""`manage.py purge_deleted`: what was deleted long ago goes for good, whole deletions at a time, and nothing else."""

import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from pieces import purging
from pieces.acts import Origin
from pieces.changes import delete_one, restore_one
from pieces.integrity import broken_invariants
from pieces.models import LEVELS, Deletion, Entity, Operation, Piece
from pieces.purging import Purge
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, family_of, path_of
from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.scope import company_scope, every_company
from tenants.tests.commands import Manage, Outcome
from tenants.tests.factories import issue_key
from tenants.tests.staff import admin_of, text_of

pytestmark = pytest.mark.django_db

ORIGIN = Origin(Operation.DELETE, "test")
COUNTS = ("projects", "components", "assemblies", "pieces", "deletions", "kept")
COMMAND = ("purge_deleted", "--older-than", "365d")


@pytest.fixture
def purge(manage: Manage) -> Callable[..., Outcome]:
    """Purges what is older than a year."""
    return lambda *arguments: manage(*COMMAND, *arguments)


@pytest.fixture(autouse=True)
def _sound() -> Iterator[None]:
    """Whatever a test has done, no invariant is broken."""
    yield
    with every_company():
        assert {name: count for name, count in broken_invariants().items() if count} == {}


def delete(entity: Entity, days: int) -> Deletion:
    """Deletes it as if that many days ago."""
    with every_company():
        delete_one(type(entity), entity.guid, origin=ORIGIN, now=timezone.now() - timedelta(days=days))
        deletion: Deletion = Deletion.objects.latest("guid")
        return deletion


def restore(entity: Entity, days: int) -> None:
    with every_company():
        restore_one(type(entity), entity.guid, origin=ORIGIN, now=timezone.now() - timedelta(days=days))


def there() -> dict[str, int]:
    """How many rows there are, of those that there are any of."""
    with every_company():
        counts = {level.plural: level.all_objects.count() for level in LEVELS}
        counts["deletions"] = Deletion.objects.count()
    return {name: count for name, count in counts.items() if count}


def counted(outcome: Outcome) -> dict[str, int]:
    assert (outcome.code, outcome.err) == (0, "")
    assert tuple(outcome.json) == COUNTS
    return {name: count for name, count in outcome.json.items() if count}


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_deletion_goes_with_all_that_it_took(
    purge: Callable[..., Outcome], company: Company, family: Family, kind: str
) -> None:
    family_of(company)
    before = there()
    delete(family[kind], 366)
    gone = {member.plural: 1 for member in family.from_level(kind)} | {"deletions": 1}
    for arguments in (["--dry-run"], []):
        assert counted(purge("--json", *arguments)) == gone
    assert there() == {name: count - gone.get(name, 0) for name, count in before.items() if count - gone.get(name, 0)}
    assert counted(purge("--json")) == {}


def test_a_young_deletion_and_what_is_active_stay(purge: Callable[..., Outcome], family: Family) -> None:
    delete(family.piece, 364)
    before = there()
    assert counted(purge("--json")) == {}
    assert there() == before


def test_a_purged_guid_is_free_for_everyone(
    purge: Callable[..., Outcome], api: Api, family: Family, other_company: Company
) -> None:
    item = {"guid": str(family.project.guid), "code": "P", "company_guid": str(other_company.guid)}
    api.with_key(issue_key(other_company))
    delete(family.project, 400)
    assert api.post("/api/v1/sync/projects", {"projects": [item]}).status_code == 422
    purge()
    assert api.post("/api/v1/sync/projects", {"projects": [item]}).json() == {"inserted": 1, "updated": 0}


def test_what_was_deleted_on_its_own_goes_and_its_active_parent_stays(
    purge: Callable[..., Outcome], family: Family
) -> None:
    delete(family.piece, 500)
    assert counted(purge("--json")) == {"pieces": 1, "deletions": 1}
    assert there() == {"projects": 1, "components": 1, "assemblies": 1}


def test_children_that_were_deleted_before_their_parent_go_in_the_same_run(
    purge: Callable[..., Outcome], family: Family
) -> None:
    for days, kind in enumerate(reversed(KINDS)):
        delete(family[kind], 500 - days)
    expected = {**dict.fromkeys(("projects", "components", "assemblies", "pieces"), 1), "deletions": 4}
    assert counted(purge("--json", "--dry-run")) == expected
    assert counted(purge("--json")) == expected
    assert there() == {}


def test_a_parent_stays_whole_while_a_child_of_it_was_deleted_too_recently(
    purge: Callable[..., Outcome], family: Family
) -> None:
    """That needs a clock that went wrong; the rows of the parent's deletion are not torn apart by it."""
    PieceFactory.create(assembly=family.assembly)
    delete(family.piece, 10)
    for kind in ("component", "project"):
        delete(family[kind], 500)
    before = there()
    for arguments in (["--dry-run"], []):
        assert counted(purge("--json", *arguments)) == {"kept": 2}
    assert there() == before
    assert "Kept: deletions that took parents" in purge().out
    restore(family.project, 0)
    restore(family.component, 0)


def test_only_the_company_that_is_named(purge: Callable[..., Outcome], family: Family, foreign: Family) -> None:
    for each in (family, foreign):
        delete(each.project, 400)
    expected = {**dict.fromkeys(("projects", "components", "assemblies", "pieces", "deletions"), 1)}
    assert counted(purge("--json", "--company", family.project.company_guid)) == expected
    with every_company():
        assert list(Deletion.objects.values_list("root_guid", flat=True)) == [foreign.project.guid]
    assert counted(purge("--json")) == expected


@pytest.mark.parametrize("slice_", [1, 5000])
def test_the_history_of_what_lives_stays_and_that_of_what_is_gone_goes(
    monkeypatch: pytest.MonkeyPatch, purge: Callable[..., Outcome], family: Family, slice_: int
) -> None:
    monkeypatch.setattr(purging, "SLICE", slice_)
    other = PieceFactory.create(assembly=family.assembly)
    for piece in (family.piece, other):
        delete(piece, 700)
        restore(piece, 699)
    assert counted(purge("--json")) == {}
    delete(other, 600)
    for arguments in (["--dry-run"], []):
        assert counted(purge("--json", *arguments)) == {"pieces": 1, "deletions": 2}
    with every_company():
        assert Deletion.objects.get().root_guid == family.piece.guid


def test_what_was_moved_out_of_its_deletion_goes_too(purge: Callable[..., Outcome], api: Api, family: Family) -> None:
    """A deleted piece may be moved to an active component; it keeps the deletion that took it."""
    home = PieceFactory.create(company=family.project.company)
    deletion = delete(family.component, 400)
    piece, parents = family.piece, ("project_guid", "component_guid", "assembly_guid")
    item: dict[str, Any] = {name: str(getattr(home, name)) for name in (*parents, "company_guid")}
    item |= {"guid": str(piece.guid), "piece_id": piece.piece_id, "is_active": False}
    api.with_key(issue_key(family.project.company))
    assert api.post("/api/v1/sync/pieces", {"pieces": [item]}).status_code == 200
    restore(family.component, 399)
    with every_company():
        assert Piece.all_objects.get(guid=piece.guid).deletion_guid == deletion.guid
    assert counted(purge("--json")) == {"pieces": 1}
    assert there()["deletions"] == 1  # the component's history


@pytest.fixture
def large(family: Family, monkeypatch: pytest.MonkeyPatch) -> Deletion:
    """A deletion that takes five transactions."""
    copies(family.piece, 8)
    monkeypatch.setattr(purging, "SLICE", 4)
    return delete(family.component, 400)


def test_large_deletions_go_in_slices(large: Deletion) -> None:
    run = Purge(before=timezone.now() - timedelta(days=1))
    with every_company():
        assert [rows for rows in run.slices() if rows] == [4, 4, 1, 1, 1]
    assert there() == {"projects": 1}


@pytest.mark.parametrize("steps", range(9))
def test_stopped_at_any_step_it_can_be_run_again(
    monkeypatch: pytest.MonkeyPatch, purge: Callable[..., Outcome], large: Deletion, family: Family, steps: int
) -> None:
    left = [steps]

    def until(work: Callable[[], Any]) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return work()

    before = there()
    with monkeypatch.context() as patch:
        patch.setattr(purging, "in_transaction", until)
        outcome = purge()
    done = steps == 8
    assert outcome.code == (0 if done else 130)
    assert outcome.err == ("" if done else "manage.py purge_deleted: error: stopped; run it again to go on\n")
    gone = {line.split()[0]: int(line.split()[1]) for line in outcome.out.splitlines()}
    assert {name: count + gone[name] for name, count in (dict.fromkeys(before, 0) | there()).items()} == before
    assert purge().code == 0
    assert there() == {"projects": 1}


@pytest.fixture
def half_gone(large: Deletion) -> Deletion:
    with every_company():
        slices = Purge(before=timezone.now() - timedelta(days=1)).slices()
        assert next(slices) == 4
    return large


def test_what_is_half_gone_is_neither_offered_nor_restored(
    half_gone: Deletion, reader: Api, family: Family, company: Company
) -> None:
    answer = reader.post(f"{path_of(family.component)}/restore")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        f"The component {family.component.guid} is being purged: not all of it could be restored."
    )
    staff, trash = admin_of(company), "/admin/pieces/deletion/"
    assert family.component.code not in text_of(staff.get(trash))
    assert "being purged" in text_of(staff.get(f"{trash}?state=all"))
    assert "Restore …" not in text_of(staff.get(f"/admin/pieces/component/{family.component.guid}/change/"))
    assert "Nothing was restored." in text_of(staff.post(f"{trash}restore/", {"guid": str(half_gone.guid)}))
    assert there()["pieces"] == 5


def test_a_sync_takes_what_is_left_of_it(
    half_gone: Deletion, purge: Callable[..., Outcome], reader: Api, family: Family
) -> None:
    """What the client sends counts: it may not be refused because of a purge that has stopped half-way."""
    item = {name: str(getattr(family.component, name)) for name in ("guid", "code", "project_guid", "company_guid")}
    assert reader.post("/api/v1/sync/components", {"components": [item]}).json() == {"inserted": 0, "updated": 1}
    assert counted(purge("--json")) == {}
    with company_scope(family.project.company_guid):
        assert Piece.objects.count() == 5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: --older-than"),
        (["--older-than", "0d"], "--older-than 0 removes all there is, so it needs --yes"),
        (["--older-than", ""], "argument --older-than: not a duration: ''; write 90m, 24h, 365d or 0"),
        (["--older-than", "1y"], "argument --older-than: not a duration: '1y'; write 90m, 24h, 365d or 0"),
        (["--older-than=-5d"], "argument --older-than: not a duration: '-5d'; write 90m, 24h, 365d or 0"),
        (["--older-than", "1.5d"], "argument --older-than: not a duration: '1.5d'; write 90m, 24h, 365d or 0"),
        (["--older-than", "²d"], "argument --older-than: not a duration: '²d'; write 90m, 24h, 365d or 0"),
        (["--older-than", "999999d"], "argument --older-than: not a duration: '999999d'; write 90m, 24h, 365d or 0"),
        ([*COMMAND[1:], "--company", "5"], "argument --company: not a UUID: '5'"),
        ([*COMMAND[1:], "--company", str(uuid.UUID(int=7))], f"there is no company {uuid.UUID(int=7)}"),
        ([*COMMAND[1:], "all"], "unrecognized arguments: all"),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, family: Family, arguments: list[str], complaint: str) -> None:
    delete(family.project, 40_000)
    assert manage("purge_deleted", *arguments).complaint.endswith(complaint)
    assert there()["pieces"] == 1


def test_the_longest_age_finds_nothing(manage: Manage) -> None:
    assert counted(manage("purge_deleted", "--older-than", "9999d", "--json")) == {}


def test_a_person_gets_lines(purge: Callable[..., Outcome], family: Family) -> None:
    delete(family.assembly, 400)
    outcome = purge("--dry-run")
    lines = [line.split() for line in outcome.out.splitlines()]
    counts = dict(zip(COUNTS, "001110", strict=True))
    assert lines == [*([name, count] for name, count in counts.items()), ["Nothing", "was", "removed:", "--dry-run."]]
    assert (outcome.code, outcome.err) == (0, "")


def test_progress_is_shown_on_a_terminal(
    purge: Callable[..., Outcome], large: Deletion, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    outcome = purge("--json")
    assert outcome.json["pieces"] == 9
    assert " rows" in outcome.err
