"""Random batches and complete sets against the server and against the plain model of the contract: no difference, on
both databases."""

import uuid
from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pieces.models import LEVELS_BY_KIND
from pieces.tests.factories import PieceFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Sync
from sync.tests.model import PARENTS, PLURALS, World
from sync.tests.test_snapshots import SNAPSHOTS
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, issue_key

Operation = tuple[str, dict[str, Any]]  # a method of Pair, and what it is given

# A small world, so that batches meet: three guids of each kind, three piece_ids, three values.
POOL = 3
TEXTS = st.sampled_from(["a", "b", "", None])
CONTENT: Mapping[str, Mapping[str, Any]] = {
    "project": {"company_name": TEXTS, "in_production": st.sampled_from([True, False, None])},
    "component": {"designation": TEXTS, "quantity": st.sampled_from([1, 2, None])},
    "assembly": {"trolley": TEXTS, "cell_number": st.sampled_from([1, None])},
    "piece": {"barcode": TEXTS, "outer_length": st.sampled_from([1200, "1200", 7.0, None]), "info2": TEXTS},
}
NAMES = {"project": "code", "component": "code", "piece": "piece_id"}
BLANK = {
    kind: dict.fromkeys(fields) | ({NAMES[kind]: None} if kind in NAMES else {}) for kind, fields in CONTENT.items()
}
BLANK["project"] |= {"in_production": False}
BLANK["component"] |= {"quantity": 1}
INDEX = st.integers(0, POOL - 1)
KIND = st.sampled_from([*PLURALS, "piece", "piece"])
CEILING = st.sampled_from([None, None, None, 100, "100%", "66.6%", "33.34%", 1, 0])
# Of snapshots: the last one that was opened of the entity, the one before, or (rarely) the last of all.
WHICH = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 1, "any"])


FIT = "fit"  # stands for the guid that is right just then: the project of the component, and so on


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 11)) == 0


@st.composite
def an_item(draw: st.DrawFn, kind: str, guid: int | None) -> dict[str, Any]:
    """An item with pool indices in place of guids; most of its parents fit each other."""
    item: dict[str, Any] = {name: draw(values) for name, values in CONTENT[kind].items() if draw(st.booleans())}
    if guid is not None:
        item["guid"] = "foreign" if rarely(draw) and rarely(draw) else guid
    *upper, lowest = PARENTS[kind] or (None,)
    if kind == "piece":
        above = draw(st.sampled_from(["omitted", None, 0, 1, 2]))
        item |= {} if above == "omitted" else {"assembly_guid": above}
        upper, lowest = ["project"], "component"
        if isinstance(above, int) and not rarely(draw):
            upper, lowest = ["project", "component"], None
    item |= {f"{parent}_guid": draw(INDEX) if rarely(draw) else FIT for parent in upper}
    if lowest:
        item[f"{lowest}_guid"] = draw(INDEX)
    if kind in NAMES:
        item[NAMES[kind]] = draw(st.sampled_from(["1", "2", "3", "4", "5"]))
    active = draw(st.sampled_from(["omitted", "omitted", True, None, False]))
    if active != "omitted":
        item["is_active"] = active
    return item


@st.composite
def a_batch(draw: st.DrawFn, kind: str | None = None) -> dict[str, Any]:
    kind = kind or draw(KIND)
    guids = draw(st.permutations([0, 1, 2, None]))[: draw(st.integers(1, 4))] + ([0] if rarely(draw) else [])
    return {
        "kind": kind,
        "items": [draw(an_item(kind, guid)) for guid in guids],
        "match": kind == "piece" and draw(st.booleans()),
        "dry_run": draw(st.sampled_from([False, False, False, True])),
        "snapshot": draw(st.one_of(st.none(), WHICH)),
    }


@st.composite
def an_opening(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    scope = draw(st.sampled_from([*PLURALS] if rarely(draw) else [None, *PARENTS[kind]]))
    return {"kind": kind, "scope": {scope: draw(INDEX)} if scope else {}, "max_deleted": draw(CEILING)}


@st.composite
def a_completion(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    return {"kind": kind, "which": draw(WHICH), "dry_run": rarely(draw), "max_deleted": draw(CEILING)}


@st.composite
def a_set(draw: st.DrawFn) -> list[Operation]:
    """A whole one, mostly: opened, filled while others write too, and completed; or some steps of one."""
    kind = draw(KIND)
    steps = [("opening", draw(an_opening(kind)))]
    for _ in range(draw(st.integers(0, 4))):
        steps.append(("batch", draw(a_batch(draw(st.sampled_from([kind, kind, None]))))))
    if draw(st.sampled_from([False] * 15 + [True])):
        steps.append(("giving_up", {"kind": kind, "which": draw(WHICH)}))
    steps += [("completion", draw(a_completion(kind))) for _ in range(draw(st.sampled_from([1, 1, 1, 2, 0])))]
    return steps


ONE_BATCH = st.tuples(st.just("batch"), a_batch()).map(lambda step: [step])


SETTING_UP: list[Operation] = [
    (
        "batch",
        {
            "kind": kind,
            "items": [{"guid": n, **dict.fromkeys((f"{p}_guid" for p in PARENTS[kind]), n)} for n in range(POOL)],
        },
    )
    for kind in PLURALS
]


class Pair:
    """The same company on the server and in the model."""

    def __init__(self) -> None:
        self.company = CompanyFactory.create()
        self.sync = Sync(Api().with_key(issue_key(self.company)))
        self.pool = {kind: [uuid.uuid4() for _ in range(POOL)] for kind in PLURALS}
        piece = PieceFactory.create()
        self.foreign: dict[str, Any] = {"project": piece.project_guid, "component": piece.component_guid}
        self.foreign |= {"assembly": piece.assembly_guid, "piece": piece.guid}
        self.world = World(BLANK, set(self.foreign.values()))
        self.seen: dict[uuid.UUID, tuple[int, Any]] = {}
        self.snapshots: list[dict[str, Any]] = []  # as the server shows those of the model

    def item(self, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        named = dict(item, company_guid=self.company.guid)
        for name in ("guid", *(f"{parent}_guid" for parent in reversed(PARENTS[kind]))):
            if named.get(name) == FIT:
                named[name] = self.fitting(name.removesuffix("_guid"), named)
            elif isinstance(named.get(name), int):
                named[name] = self.pool[kind if name == "guid" else name.removesuffix("_guid")][named[name]]
            elif named.get(name) == "foreign":
                named[name] = self.foreign[kind]
        if kind in NAMES:
            named.setdefault(NAMES[kind], str(item.get("guid")))
        return named

    def fitting(self, kind: str, named: Mapping[str, Any]) -> uuid.UUID | None:
        """The parent of this kind that the item's lower parents have; some other one where they have none."""
        for lower in ("assembly", "component"):
            row = self.world.rows.get(named.get(f"{lower}_guid", uuid.UUID(int=0)))
            if row is not None and row.parents.get(kind):
                return row.parents[kind]
        return self.pool[kind][0]

    def batch(self, batch: Mapping[str, Any]) -> None:
        kind, number = batch["kind"], self.snapshot(batch["kind"], batch.get("snapshot"))
        items = [self.item(kind, item) for item in batch["items"]]
        options = ["match=piece_id"] * bool(batch.get("match")) + ["dry_run=true"] * bool(batch.get("dry_run"))
        if number is not None:
            options.append(f"snapshot={self.snapshots[number]['guid']}")
        response = self.sync(PLURALS[kind], *items, query=f"?{'&'.join(options)}", prefer="return=representation")
        if number is not None and (status := self.world.refusal(kind, number)):
            assert response.status_code == status, response.json()
            return
        numbers = [{n: int(v) if n == "outer_length" and v else v for n, v in item.items()} for item in items]
        after, actions, refused = self.world.try_sync(kind, numbers, match=bool(batch.get("match")), number=number)
        if refused:
            assert response.status_code == 422, (refused, response.json())
            places = {place_of(fault) for fault in response.json()["detail"]}
            assert places == refused or (-1, kind) in refused
        else:
            assert response.status_code == 200, (actions, response.json())
            self.accept(response.json(), after, items, actions, dry_run=bool(batch.get("dry_run")))

    def accept(self, answer: Any, after: World, items: Any, actions: list[str], *, dry_run: bool) -> None:
        assert [item["action"] for item in answer["items"]] == actions
        assert answer["inserted"] == actions.count("inserted")
        assert answer["updated"] == len(actions) - actions.count("inserted")
        if dry_run:
            assert answer["dry_run"] is True
            return
        generated = [guid for guid in after.rows if guid not in self.world.rows and guid not in self.known()]
        answered = [
            uuid.UUID(told["guid"])
            for told, item in zip(answer["items"], items, strict=True)
            if not item.get("guid") and told["action"] == "inserted"
        ]
        for ours, theirs in zip(generated, answered, strict=True):  # the model made up guids of its own
            after.rename(ours, theirs)
        self.world = after

    def known(self) -> set[uuid.UUID]:
        return {guid for guids in self.pool.values() for guid in guids}

    def opening(self, asked: Mapping[str, Any]) -> None:
        scope = {kind: self.pool[kind][index] for kind, index in asked["scope"].items()}
        body = {"entity": PLURALS[asked["kind"]], **{f"{kind}_guid": guid for kind, guid in scope.items()}}
        body |= {"max_deleted": most} if (most := asked["max_deleted"]) is not None else {}
        response = self.sync.api.post(SNAPSHOTS, body)
        if bad := self.world.open_snapshot(asked["kind"], scope, most):
            assert response.status_code == 422
            assert {fault["loc"][1] for fault in response.json()["detail"]} == {f"{parent}_guid" for parent in bad}
        else:
            assert response.status_code == 201, response.json()
            self.snapshots.append(response.json())

    def completion(self, asked: Mapping[str, Any]) -> None:
        if (number := self.snapshot(asked["kind"], asked["which"])) is None:
            return
        dry_run, most, shown = asked["dry_run"], asked["max_deleted"], self.snapshots[number]
        path = f"{SNAPSHOTS}/{shown['guid']}/complete{'?dry_run=true' if dry_run else ''}"
        response = self.sync.api.post(path, {} if most is None else {"max_deleted": most})
        status, told = self.world.complete(self.world.snapshots[number], most, dry_run=dry_run)
        assert response.status_code == status, (told, response.json())
        event(f"completed: {status}, {'some' if told.get('deleted') else 'none'} deleted")
        answer = response.json()
        assert answer.pop("dry_run", False) is (dry_run and status == 200)
        if status == 200:
            run = answer.pop("run_guid")
            shown["run_guid"] = shown["run_guid"] or (None if dry_run else run)
            assert run == response["X-Sync-Run"] == (shown["run_guid"] or run)
        assert {name: answer[name] for name in answer if name != "detail"} == told

    def giving_up(self, asked: Mapping[str, Any]) -> None:
        if (number := self.snapshot(asked["kind"], asked["which"])) is not None:
            response = self.sync.api.delete(f"{SNAPSHOTS}/{self.snapshots[number]['guid']}")
            assert response.status_code == self.world.give_up(self.world.snapshots[number])

    def snapshot(self, kind: str, which: Any) -> int | None:
        """The number of the snapshot that is meant."""
        opened = enumerate(self.world.snapshots)
        numbers = [number for number, snapshot in opened if which == "any" or snapshot.kind == kind]
        back = which if isinstance(which, int) else 0
        return numbers[-1 - back] if which is not None and len(numbers) > back else None

    def compare_snapshots(self) -> None:
        """What each is said to have seen and deleted."""
        for snapshot, shown in zip(self.world.snapshots, self.snapshots, strict=True):
            response = self.sync.api.get(f"{SNAPSHOTS}/{shown['guid']}")
            assert response.status_code == (404 if snapshot.is_given_up else 200)
            if not snapshot.is_given_up:
                answer = {"seen": len(snapshot.seen), "deleted": None, **snapshot.answer}
                status = "completed" if snapshot.answer else "open"
                assert response.json() == {**shown, **answer, "status": status}

    def compare(self) -> None:
        """Every row as the model has it; `updated_at` moved exactly where the model wrote."""
        stored = {}
        with every_company():
            for kind, model in LEVELS_BY_KIND.items():
                for row in model.all_objects.filter(company=self.company):
                    parents = {name: getattr(row, f"{name}_guid") for name in PARENTS[kind]}
                    content = {name: getattr(row, name) for name in BLANK[kind]}
                    stored[row.guid] = (kind, parents, content, row.is_active, row.deleted_at is None)
                    modelled = self.world.rows[row.guid]
                    written, updated_at = self.seen.get(row.guid, (modelled.written, row.updated_at))
                    assert (modelled.written > written) == (row.updated_at > updated_at), row
                    self.seen[row.guid] = (modelled.written, row.updated_at)
        assert stored == {
            row.guid: (row.kind, row.parents, row.content, row.active, row.active) for row in self.world.rows.values()
        }
        groups: dict[int | None, set[Any]] = {}
        with every_company():
            for model in LEVELS_BY_KIND.values():
                rows = model.all_objects.filter(company=self.company)
                for guid, deletion in rows.values_list("guid", "deletion_guid"):
                    groups.setdefault(self.world.rows[guid].deletion, set()).add(deletion)
        assert all(len(group) == 1 for group in groups.values()), "rows of one deletion carry one guid"


def place_of(fault: Mapping[str, Any]) -> tuple[int, str]:
    """As the model names it."""
    _, _, index, name = fault["loc"]
    return index, f"outside {name}" if fault["type"] == "outside_snapshot" else name


# Real transactions: what a snapshot has seen are those that had been committed.
@pytest.mark.django_db(transaction=True)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=st.lists(st.one_of(ONE_BATCH, a_set()), min_size=1, max_size=5))
def test_whatever_is_done_comes_out_as_by_the_plain_model_of_the_contract(operations: list[list[Operation]]) -> None:
    pair = Pair()
    for name, asked in [*SETTING_UP, *chain(*operations)]:
        getattr(pair, name)(asked)
        pair.compare()
    pair.compare_snapshots()
