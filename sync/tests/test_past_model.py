"""Random batches, edits, deletions, restores, moves, imports, undos and undos of undos, against an oracle that keeps
every state: whatever was done, `?at=` and the history are what was there, and an undo makes rows what they were before.

The oracle reads all rows after each operation, plainly, and remembers them with the moment. Of the rules it knows what
makes a state lawful, not how the server gets there.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pieces.acts import Origin
from pieces.history import read_at
from pieces.integrity import broken_invariants
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, Entity, Operation
from pieces.reading import counted, fields_of
from ractory.api.rendering import to_json
from ractory.api.tests.client import Api
from sync.schemas import Line
from sync.submission import Options, submit
from sync.tests.batches import Sync
from sync.tests.model import PARENTS, PLURALS
from tenants.scope import company_scope
from tenants.tests.factories import CompanyFactory, issue_key

POOL = 3  # guids of each kind, so that operations meet
KINDS = [*LEVELS_BY_KIND]
PICTURES = [None, "AAAA", "AQID"]
CONTENT: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "project": {"code": st.sampled_from("ab"), "in_production": st.booleans()},
    "component": {"designation": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
    "assembly": {"trolley": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
    "piece": {"barcode": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
}
HAND = {"project": "company_name", "component": "designation", "assembly": "trolley", "piece": "info3"}
INDEX = st.integers(0, POOL - 1)
KIND = st.sampled_from([*KINDS, "piece", "piece"])
State = Mapping[str, Any]


@st.composite
def an_item(draw: st.DrawFn, kind: str, index: int | None) -> dict[str, Any]:
    """An item with indices of the pool in place of guids; its upper parents are those of the lowest, mostly."""
    item: dict[str, Any] = {name: draw(values) for name, values in CONTENT[kind].items() if draw(st.booleans())}
    item |= {"guid": index, "fits": draw(st.integers(0, 15)) > 0, "piece_id": draw(st.sampled_from("0123"))}
    item |= {parent: draw(INDEX) for parent in PARENTS[kind] if parent != "assembly"}
    if kind == "piece":
        item["assembly"] = draw(st.sampled_from([None, 0, 1, 2, 0, 1]))
    if (active := draw(st.sampled_from([None, None, None, True, False]))) is not None:
        item["is_active"] = active
    return item


@st.composite
def a_batch(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(KIND)
    indices = draw(st.permutations([0, 1, 2, None]))[: draw(st.integers(1, 3))]
    return draw(st.sampled_from(["sync", "sync", "sync", "import"])), (kind, [draw(an_item(kind, n)) for n in indices])


ROW = st.tuples(KIND, INDEX)
UNDO = st.tuples(st.sampled_from([-1, -1, -1, -2, -2, -3, -4, -5, 0, 1, 2]), st.booleans())
OPERATIONS = st.lists(
    st.one_of(
        a_batch(),
        a_batch(),
        st.tuples(st.just("delete"), ROW),
        st.tuples(st.just("restore"), ROW),
        st.tuples(st.just("hand"), ROW),
        st.tuples(st.just("undo"), UNDO),
        st.tuples(st.just("undo"), UNDO),
        st.tuples(st.just("undo"), UNDO),
    ),
    min_size=4,
    max_size=12,
)


@dataclass(eq=False)
class Done:
    """An operation that wrote something, and what it wrote: of each row the states before and after."""

    run: str | None
    moment: datetime
    before: dict[bytes, State | None]
    after: dict[bytes, State]
    undoes: "Done | None" = None
    left_before: dict[bytes, list["Done"]] = field(default_factory=dict)  # by row: as whom it had been left


class Past:
    """A company on the server, and everything that its rows have ever been."""

    def __init__(self) -> None:
        self.company = CompanyFactory.create()
        self.sync = Sync(Api().with_key(issue_key(self.company)))
        self.pool = {kind: [uuid.uuid4() for _ in range(POOL)] for kind in KINDS}
        self.rows: dict[bytes, State] = {}
        self.models: dict[bytes, type[Entity]] = {}
        self.states: list[tuple[datetime, dict[bytes, State]]] = []
        self.done: list[Done] = []
        # As whom each row has been left: who wrote it last, and if that was an undo, who had before what it took back.
        self.left_by: dict[bytes, list[Done]] = {}
        self.hands = 0
        for kind in KINDS:
            names = [*PARENTS[kind], "guid"]
            self.do("sync", (kind, [dict.fromkeys(names, n) | {"fits": True, "piece_id": str(n)} for n in range(POOL)]))

    # --- What is done

    def do(self, name: str, what: Any) -> None:
        getattr(self, f"do_{name}")(what)

    def do_sync(self, what: Any) -> None:
        kind, items = what
        response = self.sync(PLURALS[kind], *[self.item(kind, item) for item in items])
        assert response.status_code in (200, 422), response.content
        self.look(response["X-Sync-Run"])

    def do_import(self, what: Any) -> None:
        kind, items = what
        lines = [Line(n, orjson.dumps(self.item(kind, item))) for n, item in enumerate(items)]
        origin = Origin(Operation.IMPORT, "import:test", "", run=uuid.uuid4())
        options = Options(leave_out=True, line_numbers=range(len(lines)))
        with company_scope(self.company.guid):
            submit(LEVELS_BY_KIND[kind], lines, origin=origin, options=options)
        self.look(str(origin.run))

    def do_delete(self, what: tuple[str, int]) -> None:
        kind, n = what
        self.look(self.sync.api.delete(f"/api/v1/{PLURALS[kind]}/{self.pool[kind][n]}")["X-Sync-Run"])

    def do_restore(self, what: tuple[str, int]) -> None:
        kind, n = what
        self.look(self.sync.api.post(f"/api/v1/{PLURALS[kind]}/{self.pool[kind][n]}/restore")["X-Sync-Run"])

    def do_hand(self, what: tuple[str, int]) -> None:
        kind, n = what
        guid, table, self.hands = self.pool[kind][n], LEVELS_BY_KIND[kind]._meta.db_table, self.hands + 1
        time.sleep(0.002)  # the clock of SQLite has milliseconds
        sql = f"UPDATE {table} SET {HAND[kind]} = %s, digest = NULL, sent_digest = NULL WHERE guid = %s"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(sql, [f"by hand {self.hands}", guid if connection.vendor == "postgresql" else guid.hex])
        time.sleep(0.002)
        self.look(None)

    def do_undo(self, what: tuple[int, bool]) -> None:
        index, skip = what
        runs = [done for done in self.done if done.run]
        done = runs[index % len(runs) if index < 0 else -1 - index % len(runs)]
        path, rows = f"/api/v1/sync/runs/{done.run}/undo", self.rows
        query = "?conflicts=skip" if skip else ""
        dry = self.sync.api.post(f"{path}?dry_run=true{query.replace('?', '&')}")
        assert self.read() == rows
        response = self.sync.api.post(path + query)
        told = response.json()
        assert dry.status_code == response.status_code
        assert {**dry.json(), "run_guid": 0} == {
            **told,
            **({"dry_run": True} if "run_guid" in told else {}),
            "run_guid": 0,
        }
        conflicts, lawful = self.in_the_way(done), True
        if any(other.undoes is done for other in self.done):
            assert response.status_code == 409
            assert "undone already" in told["detail"]
            event("undone already")
        elif response.status_code == 409:
            named = [uuid.UUID(each["guid"]).bytes for each in told["conflicts"]]
            event("in conflict" if conflicts else "against a rule")
            if conflicts:
                assert not skip
                assert named == conflicts
            else:
                assert not self.is_lawful(self.put_back(done))
        else:
            assert response.status_code == 200, response.content
            event(f"undone, {'skipping' if conflicts else 'all of it'}")
            assert skip or not conflicts
            lawful = skip or self.is_lawful(self.put_back(done))
        self.look(response["X-Sync-Run"], undoes=done if response.status_code == 200 else None)
        if response.status_code != 200:
            assert self.rows == rows
            return
        assert lawful
        self.check_undone(done, rows, conflicts, told, skip=skip)

    # --- What is to be expected of an undo

    def in_the_way(self, done: Done) -> list[bytes]:
        """The rows that others have written since, and active ones below what is to go; from the top level, by guid."""
        found = {key for key in done.after if done not in self.left_by[key]}
        for key, before in done.before.items():
            if done in self.left_by[key] and not (before and before["is_active"]):
                column = self.models[key].kind.column
                below = {k for k, row in self.rows.items() if row["is_active"] and bytes_of(row.get(column)) == key}
                found |= {k for k in below if done not in self.left_by[k]}
        return sorted(found, key=lambda key: (LEVELS.index(self.models[key]), key))

    def put_back(self, done: Done) -> dict[bytes, State]:
        """All rows, with those of the operation as they were before it, and what is below them in their parents."""
        rows = dict(self.rows)
        for key, before in done.before.items():
            rows[key] = before or {**rows[key], "is_active": False}
        for level in LEVELS:
            for key, row in rows.items():
                if self.models[key] is level and key not in done.before and level.parents:
                    lowest = next(kind for kind in reversed(level.parents) if row[kind.column])
                    parent = rows[row[lowest.column].bytes]
                    rows[key] = {**row, **{kind.column: parent[kind.column] for kind in LEVELS_BY_KIND[lowest].parents}}
        return rows

    def is_lawful(self, rows: Mapping[bytes, State]) -> bool:
        """Whether all that is active is below active rows that fit, and no two pieces share a piece_id."""
        taken = []
        for key, row in rows.items():
            model = self.models[key]
            above = [rows[row[kind.column].bytes] for kind in model.parents if row[kind.column]]
            for number, parent in enumerate(above):
                chain = model.parent_columns()[:number]
                if (row["is_active"] and not parent["is_active"]) or any(row[c] != parent[c] for c in chain):
                    return False
            if model.kind == "piece" and row["is_active"]:
                taken.append((row["project_guid"], row["piece_id"]))
        return len(taken) == len(set(taken))

    def check_undone(
        self, done: Done, rows: Mapping[bytes, State], conflicts: list[bytes], told: Mapping[str, Any], *, skip: bool
    ) -> None:
        for key, before in done.before.items():
            now = self.rows[key]
            is_back = said(now) == (said(before) if before else {**said(rows[key]), "is_active": False})
            assert is_back or (skip and now == rows[key]), (self.models[key], before, now)
        assert all(self.rows[key] == rows[key] for key in conflicts)
        changed = {key for key, row in self.rows.items() if row != rows[key]}
        gone = {key for key in changed if rows[key]["is_active"] and not self.rows[key]["is_active"]}
        back = {key for key in changed if self.rows[key]["is_active"] and not rows[key]["is_active"]}
        assert (told["deleted"], told["restored"]) == (len(gone), len(back))
        assert told["changed"] >= len(changed - gone - back)
        assert ("skipped" in told) is skip
        if skip:
            assert (told["skipped"] > 0) >= bool(conflicts)

    # --- What there is

    def item(self, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """The item as it is sent."""
        sent = {name: value for name, value in item.items() if name not in (*KINDS, "guid", "fits", "piece_id")}
        sent["company_guid"] = self.company.guid
        if item["guid"] is not None:
            sent["guid"] = self.pool[kind][item["guid"]]
        named = {parent: self.pool[parent][n] for parent in PARENTS[kind] if (n := item[parent]) is not None}
        for lower in reversed(PARENTS[kind]):
            row = self.rows.get(named[lower].bytes) if lower in named and item["fits"] else None
            named |= {upper: row[f"{upper}_guid"] for upper in PARENTS[lower]} if row else {}
        sent |= {f"{parent}_guid": named.get(parent) for parent in PARENTS[kind]}
        if kind == "piece":
            sent["piece_id"] = item["piece_id"]
        elif kind in ("project", "component"):
            sent.setdefault("code", "c")
        return sent

    def read(self) -> dict[bytes, State]:
        found: dict[bytes, State] = {}
        for model in LEVELS:
            for row in model.all_objects.filter(company=self.company).values():
                found[row["guid"].bytes] = {name: value_of(value) for name, value in row.items()}
                self.models[row["guid"].bytes] = model
        return found

    def look(self, run: str | None, undoes: Done | None = None) -> None:
        """Reads everything, and remembers what has changed since the last time."""
        rows, moment = self.read(), datetime.now(UTC)
        after = {key: row for key, row in rows.items() if row != self.rows.get(key)}
        done = Done(run, moment, {key: self.rows.get(key) for key in after}, after, undoes)
        done.left_before = {key: self.left_by.get(key, []) for key in after}
        for key in after:
            self.left_by[key] = [done, *(undoes.left_before.get(key, ()) if undoes else ())]
        if after:
            self.done.append(done)
        self.rows = rows
        self.states.append((moment, rows))

    # --- What must be known of it all

    def check(self) -> None:
        for key, model in self.models.items():
            guid = uuid.UUID(bytes=key)
            states = [(done, done.before[key], done.after[key]) for done in reversed(self.done) if key in done.after]
            entries = self.sync.api.get(f"/api/v1/{model.plural}/{guid}/history?limit=1000").json()
            assert [(entry["run_guid"], entry["action"], entry["changes"]) for entry in entries] == [
                (done.run, action_of(model, old, new), differences(model, old, new)) for done, old, new in states
            ]
            with company_scope(self.company.guid):
                self.check_moments(model, guid)
        assert not {name: count for name, count in broken_invariants().items() if count}
        kept = sum(HISTORIES[model].objects.filter(company=self.company).count() for model in LEVELS)
        assert kept == sum(before is not None for done in self.done for before in done.before.values())

    def check_moments(self, model: type[Entity], guid: uuid.UUID) -> None:
        fields = [name for name in fields_of(model, full=True) if name not in counted(model)]
        of_row = [(moment, rows.get(guid.bytes)) for moment, rows in self.states]
        for number, (moment, row) in enumerate(of_row):
            beside = [near for _, near in of_row[max(0, number - 1) : number + 2]]
            if row is None or (beside.count(row) == 3):  # in the middle of a time in which nothing happened
                continue
            shown = read_at(model, guid, moment, fields, include_inactive=True)
            assert {name: value_of(value) for name, value in shown.items()} == {name: row[name] for name in fields}


def value_of(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def bytes_of(guid: uuid.UUID | None) -> bytes | None:
    return guid.bytes if guid else None


STAMPS = (
    "updated_at",
    "deleted_at",
    "deletion_guid",
    "changed_in",
    "created_in",
    "created_at",
    "digest",
    "sent_digest",
)


def said(row: State) -> State:
    """What an undo puts back."""
    return {name: value for name, value in row.items() if name not in STAMPS}


def action_of(model: type[Entity], old: State | None, new: State) -> str:
    if old is None:
        return "inserted"
    if old["is_active"] != new["is_active"]:
        return "restored" if new["is_active"] else "deleted"
    return "moved" if any(old[name] != new[name] for name in model.parent_columns()) else "updated"


def differences(model: type[Entity], old: State | None, new: State) -> Any:
    """As they go over the wire."""
    found = {}
    for name in fields_of(model, full=True):
        column = "picture_digest" if name == "picture" else name
        if name in (*counted(model), "guid", "company_guid", "created_at", "updated_at"):
            continue
        pair = [old[column] if old else None, new[column]]
        if pair[0] != pair[1]:
            found[name] = [value.hex() if isinstance(value, bytes) else value for value in pair]
    return orjson.loads(to_json(found))


@contextmanager
def an_example() -> Iterator[None]:
    """Rolled back at the end, so that what is checked of the whole database does not grow from one to the next."""
    outer = transaction.atomic()
    outer._from_testcase = True  # type: ignore[attr-defined]  # Django's own flag: others are the outermost in it
    with outer:
        yield
        transaction.set_rollback(True)


@pytest.mark.django_db
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_whatever_is_done_the_past_is_kept_and_can_be_had_back(operations: list[tuple[str, Any]]) -> None:
    with an_example():
        past = Past()
        for name, what in operations:
            past.do(name, what)
        past.check()
