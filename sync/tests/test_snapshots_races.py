"""Complete sets that meet each other and other writers: real threads on a real PostgreSQL."""

import random
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from pieces.acts import Origin
from pieces.changes import Acts
from pieces.integrity import broken_invariants
from pieces.models import Component, Deletion, Operation, Piece
from pieces.tests.factories import ComponentFactory
from pieces.tests.test_delete_races import threads, wait_until_blocked
from ractory.api.tests.threads import at_once
from sync.submission import Options, write_items
from sync.tests.batches import Item, component_item, piece_item, row_of
from sync.tests.test_snapshots import Source, active
from sync.tests.test_sync_races import assert_fit, posting
from sync.tests.test_undo_races import sync_of
from tenants.scope import company_scope, every_company
from tenants.tests.factories import CompanyFactory

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ROUNDS, SIZE = 3, 12


def new_piece(component: Component, piece_id: str) -> Item:
    return piece_item(component, guid=str(uuid.uuid4()), piece_id=piece_id)


def is_in(item: Item, scope: dict[str, Any]) -> bool:
    return all(item[name] == guid for name, guid in scope.items())


class Plant:
    """Pieces of three components, and sources of overlapping sets, opened already.

    Of every three pieces all sources have one, none has the next, and each may have the third or not.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  # no secret
        self.company = CompanyFactory.create()
        self.sync = sync_of(self.company)
        first: Component = ComponentFactory.create(company=self.company)
        second: Component = ComponentFactory.create(project=first.project)
        self.components = [first, second, ComponentFactory.create(company=self.company)]
        self.old = [new_piece(self.components[n // (3 * SIZE)], f"old {n}") for n in range(9 * SIZE)]
        assert self.sync("pieces", *self.old).status_code == 200
        scopes: list[dict[str, Any]] = [{"company_guid": self.company.guid}, {"project_guid": first.project_guid}]
        scopes += [{"component_guid": each.guid} for each in (first, second)]
        self.sources = [Source(sync_of(self.company), first, **scope) for scope in scopes]
        self.named: dict[Source, list[Item]] = {}
        self.left_out: dict[Source, set[str]] = {}
        for source, scope in zip(self.sources, scopes, strict=True):
            source.open(max_deleted=len(self.old))
            chances = [1.0, 0.0, 0.5]
            has = [is_in(item, scope) and self.rng.random() < chances[n % 3] for n, item in enumerate(self.old)]
            self.named[source] = [item for item, named in zip(self.old, has, strict=True) if named]
            unnamed = [item for item, named in zip(self.old, has, strict=True) if not named]
            self.left_out[source] = {item["guid"] for item in unnamed if is_in(item, scope)}
        self.running = len(self.sources)

    def send(self, source: Source) -> list[Any]:
        """Pushes what the source has, some of it with a content that no other has, and completes the set."""
        items = [item | {"cell": source.guid} if n % 2 else item for n, item in enumerate(self.named[source])]
        self.rng.shuffle(items)
        try:
            answers = [source.push(*items[n : n + SIZE]) for n in range(0, len(items), SIZE)]
            return [*answers, source.complete()]
        finally:
            self.running -= 1

    def insert(self, name: str) -> tuple[set[str], list[Any]]:
        """As one of the others, until all sets are complete: inserts pieces, and edits some that no source has."""
        sync, inserted, answers = sync_of(self.company), set[str](), list[Any]()
        dead = self.old[1::3]
        while self.running or not answers:
            items = [new_piece(each, f"{name} {len(answers)} {n}") for n, each in enumerate(self.components * 3)]
            answers.append(sync("pieces", *items))
            inserted |= {item["guid"] for item in items}
            piece = self.rng.choice(dead)
            read = sync.api.get(f"/api/v1/pieces/{piece['guid']}")
            if read.status_code == 200:  # what has gone meanwhile must not come back by this
                edited = piece | {"trolley": f"{len(answers)}", "if_updated_at": read.json()["updated_at"]}
                assert sync("pieces", edited).status_code in (200, 422)
        return inserted, answers

    def taken_by(self, source: Source, done: Any) -> list[str]:
        """What the completion took, by its history; it is as many rows as it says, and one deletion."""
        run, told = done["X-Sync-Run"], done.json()
        changes = self.sync.api.get(f"/api/v1/sync/runs/{run}/changes?limit=1000").json()
        assert {change["action"] for change in changes} <= {"deleted"}
        assert len({change["deletion_guid"] for change in changes}) <= 1
        assert told == {"seen": len(self.named[source]), "deleted": len(changes), "run_guid": run}
        assert self.sync.api.get(f"/api/v1/sync/runs/{run}").json()["deleted"] == len(changes)
        return [change["guid"] for change in changes]


def assert_whole() -> None:
    with every_company():
        assert not {name: count for name, count in broken_invariants().items() if count}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_overlapping_sets_take_what_they_left_out_and_nothing_that_others_insert(seed: int) -> None:
    plant = Plant(seed)
    others = [lambda name=name: plant.insert(name) for name in "ab"]
    sending = [lambda source=source: plant.send(source) for source in plant.sources]
    *sent, one, other = at_once(*sending, *others)
    answers = [answer for some in (*sent, one[1], other[1]) for answer in some]
    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    taken = Counter[str]()
    for source, (*_, done) in zip(plant.sources, sent, strict=True):
        guids = plant.taken_by(source, done)
        assert set(guids) <= plant.left_out[source]
        taken.update(guids)
    with every_company():
        there = {str(guid) for guid in Piece.objects.filter(company=plant.company).values_list("guid", flat=True)}
    assert one[0] | other[0] <= there
    kept, dead = ({item["guid"] for item in plant.old[n::3]} for n in range(2))
    assert kept <= there
    assert not dead & there
    assert {taken[guid] for guid in dead} == {1}
    assert {guid for item in plant.old if (guid := item["guid"]) not in there} <= set(taken)
    assert_whole()


def write(item: Item, **changes: Any) -> None:
    """As a sync does, within the transaction of the caller."""
    given = {name: uuid.UUID(str(value)) if name.endswith("guid") else value for name, value in item.items()}
    write_items(Piece, {0: given | changes}, Acts(Origin(Operation.SYNC, "another")), Options())


def test_what_was_being_written_when_the_set_was_opened_stays() -> None:
    """It was in no set that its source could have read; and its transaction is older than the set."""
    component = ComponentFactory.create()
    source = Source(sync_of(component.company), component)
    before, meanwhile, after = (new_piece(component, name) for name in ("before", "meanwhile", "after"))
    source.sync("pieces", before)
    with threads() as start, company_scope(component.company_guid):
        with transaction.atomic():
            write(meanwhile)
            start(source.open).result()
        start(source.sync, "pieces", after).result()
        assert start(source.complete).result().json()["deleted"] == 1
    assert active() == {"meanwhile", "after"}


@pytest.mark.parametrize(("change", "goes"), [("edit", True), ("deletion", False), ("move", False)])
def test_completing_waits_for_who_is_writing_and_takes_what_is_in_the_set_then(change: str, *, goes: bool) -> None:
    component: Component = ComponentFactory.create()
    beside: Component = ComponentFactory.create(project=component.project)
    source = Source(sync_of(component.company), component, component_guid=component.guid)
    item = new_piece(component, "1")
    source.sync("pieces", item)
    source.open()
    changes: dict[str, dict[str, Any]] = {
        "edit": {"cell": "b"},
        "deletion": {"is_active": False},
        "move": {"component_guid": beside.guid},
    }
    with threads() as start, company_scope(component.company_guid):
        with transaction.atomic():
            write(item, **changes[change])
            completing = start(source.complete)
            wait_until_blocked()
        done = completing.result()
    history = source.sync.api.get(f"/api/v1/sync/runs/{done['X-Sync-Run']}/changes").json()
    assert done.json()["deleted"] == len(history) == goes
    assert row_of("piece", item["guid"]).is_active is (change == "move")


def test_a_set_of_components_and_pieces_inserted_below_end_as_if_one_had_come_first() -> None:
    company = CompanyFactory.create()
    sync = sync_of(company)
    for number in range(2 * ROUNDS):
        kept: Component = ComponentFactory.create(company=company)
        gone: Component = ComponentFactory.create(project=kept.project)
        source = Source(sync_of(company), kept, entity="components", project_guid=str(kept.project_guid))
        source.open()
        sync("components", component_item(kept.project, guid=kept.guid), query=f"?snapshot={source.guid}")
        new = [new_piece(each, f"{number} {n}") for n, each in enumerate((kept, gone, gone))]
        done, first, *late = at_once(source.complete, *(posting(company, "pieces", [item]) for item in new))
        assert (done.status_code, done.json()["deleted"], first.status_code) == (200, 1, 200)
        assert {answer.status_code for answer in late} <= {200, 422}
        assert not row_of("component", gone.guid).is_active
        assert_fit()
        assert sync.api.post(f"/api/v1/components/{gone.guid}/restore").status_code == 204
        for item, answer in zip(new, (first, *late), strict=True):
            if answer.status_code == 200:  # it went with its component, and has come back with it
                assert row_of("piece", item["guid"]).is_active
    with every_company():
        assert Deletion.objects.count() == 2 * ROUNDS
    assert_whole()
