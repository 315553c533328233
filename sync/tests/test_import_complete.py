"""`import_entities --complete`: what the file does not have goes, after a question, and comes back by an undo."""

import uuid
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest

from pieces.models import Component, Piece
from sync.models import FileImport
from sync.tests.batches import Item, Sync, full_piece
from sync.tests.files import ndjson
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage

# What a snapshot has seen are transactions that had been committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def items(sync: Sync, component: Component) -> list[Item]:
    """Six pieces that are there."""
    items = [full_piece(component, number) for number in range(6)]
    assert sync("pieces", *items).status_code == 200
    return items


def there() -> set[uuid.UUID]:
    with every_company():
        return set(Piece.objects.values_list("guid", flat=True))


def guids(*items: Item) -> set[uuid.UUID]:
    return {item["guid"] for item in items}


def file_of(path: Path, *items: Item) -> Path:
    path.write_bytes(ndjson(items))
    return path


def test_what_the_file_does_not_have_goes_and_comes_back(
    manage: Manage, company: Company, component: Component, items: list[Item], tmp_path: Path
) -> None:
    new = full_piece(component, 7)
    path = file_of(tmp_path / "pieces.ndjson", *items[:4], new)
    how = ("import_entities", path, "--company", company.guid, "--complete", f"component={component.guid}")
    outcome = manage(*how)
    assert (outcome.code, "2 pieces that the file does not have are to be deleted" in outcome.err) == (1, True)
    assert "needs --yes" in outcome.err
    assert there() == guids(*items, new)
    outcome = manage(*how, "--resume", "--yes", "--json")
    assert (outcome.code, outcome.json["rows"]) == (0, 5)
    assert "2 pieces that the file does not have were deleted" in outcome.err
    assert there() == guids(*items[:4], new)
    assert manage(*how, "--resume", "--yes").code == 0  # done before
    with every_company():
        import_guid = FileImport.objects.get().guid
    assert manage("undo_run", import_guid).code == 0
    assert there() == guids(*items)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("said", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    manage: Manage, company: Company, component: Component, items: list[Item], tmp_path: Path, said: str, code: int
) -> None:
    path = file_of(tmp_path / "pieces.ndjson", *items[1:])
    how = ("import_entities", path, "--company", company.guid, "--complete", f"project={component.project_guid}")
    with mock.patch("tenants.tests.commands.StringIO", Terminal):
        outcome = manage(*how, stdin=f"{said}\n")
    assert outcome.code == code
    assert "1 pieces that the file does not have are to be deleted. Go on? [y/N]\n" in outcome.err
    assert there() == guids(*(items[1:] if said == "y" else items))


def test_a_file_with_faults_deletes_nothing(
    manage: Manage, company: Company, component: Component, items: list[Item], tmp_path: Path
) -> None:
    path = file_of(tmp_path / "pieces.ndjson", items[0], items[1] | {"outer_length": "long"})
    outcome = manage("import_entities", path, "--company", company.guid, "--complete", "company", "--yes")
    assert outcome.code == 1
    assert "outer_length" in outcome.err
    assert there() == guids(*items)


def test_the_ceiling_and_what_is_outside_of_the_set(
    manage: Manage, company: Company, component: Component, items: list[Item], tmp_path: Path
) -> None:
    path = file_of(tmp_path / "pieces.ndjson", items[0])
    how = ("import_entities", path, "--company", company.guid, "--yes", "--complete")
    outcome = manage(*how, "company", "--max-deleted", "4")
    assert (outcome.code, "5 pieces would be deleted, more than 4" in outcome.err) == (1, True)
    assert manage(*how, "company", "--max-deleted", "5", "--resume").code == 0
    assert there() == guids(items[0])
    other = full_piece(component, 9, project_guid=uuid.uuid4())
    path = file_of(tmp_path / "other.ndjson", other)
    outcome = manage(*how[:1], path, *how[2:], f"project={component.project_guid}")
    assert (outcome.code, "The snapshot is of the project" in outcome.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--complete", "piece=1"], "not project=GUID"),
        (["--complete", "project=1"], "not a UUID"),
        (["--complete", f"project={uuid.UUID(int=1)}"], "There is no active project"),
        (["--complete", "company", "--max-deleted", "101%"], "not a number of rows or a share"),
        (["--complete", "company", "--dry-run"], "--dry-run writes nothing"),
    ],
)
def test_wrong_use_is_2(manage: Manage, company: Company, tmp_path: Path, arguments: list[str], said: str) -> None:
    path = file_of(tmp_path / "pieces.ndjson")
    outcome = manage("import_entities", path, "--company", company.guid, *arguments)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_it_is_resumed_as_it_was_started(manage: Manage, company: Company, items: list[Item], tmp_path: Path) -> None:
    path = file_of(tmp_path / "pieces.ndjson", *items[:5])
    how = ("import_entities", path, "--company", company.guid)
    assert manage(*how).code == 0
    outcome = manage(*how, "--resume", "--yes", "--complete", "company")
    assert (outcome.code, "as it was started" in outcome.err) == (2, True)
    assert there() == guids(*items)
