"""An oracle of the past: a company on the server, and every state that its rows have ever been in.

It reads all rows after each operation, plainly, and remembers them with the moment. Of the rules it knows what makes a
state lawful, not how the server gets there.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from unittest import mock

import orjson
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import event
from rest_framework.exceptions import APIException

from pieces.history import read_at
from pieces.integrity import broken_invariants
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, Entity
from pieces.reading import counted, fields_of
from ractory.api.rendering import to_json
from ractory.api.tests.client import Api
from sync.files.importing import Importer
from sync.files.reading import FileRow
from sync.management.commands import undo_run
from sync.models import FileImport, SyncRun
from sync.tests.batches import Sync
from sync.tests.model import PARENTS, PLURALS
from sync.undo import Undone, undo
from tenants.scope import company_scope
from tenants.tests.factories import CompanyFactory, issue_key

POOL = 3  # guids of each kind, so that operations meet
KINDS = [*LEVELS_BY_KIND]
HAND = {"project": "company_name", "component": "designation", "assembly": "trolley", "piece": "info3"}
State = Mapping[str, Any]


@dataclass(eq=False)
class Done:
    """An operation that wrote something, and what it wrote: of each row the states before and after."""

    run: str | None
    moment: datetime
    before: dict[bytes, State | None]
    after: dict[bytes, State]
    undoes: "Done | None" = None
    file: uuid.UUID | None = None  # that it was a batch of
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
        """Of a file of two batches, the first of one row."""
        kind, items = what
        model, source = LEVELS_BY_KIND[kind], str(uuid.uuid4())
        file = FileImport(company_guid=self.company.guid, entity=model.plural, source=source, digest=b"")
        with company_scope(self.company.guid):
            file.save(force_insert=True)
        importer = Importer(model, file)
        for batch in filter(None, (items[:1], items[1:])):
            with company_scope(self.company.guid):
                importer.add([FileRow(n, orjson.dumps(self.item(kind, item))) for n, item in enumerate(batch, 1)])
                run = SyncRun.objects.filter(request_id=str(file.guid)).latest("guid").guid
            self.look(str(run), file=file.guid)

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
        conflicts = self.in_the_way(done)
        if response.status_code == 200:
            self.check_undone(done, conflicts, told, response["X-Sync-Run"], skip=skip)
            return
        assert response.status_code == 409, response.content
        if any(other.undoes is done for other in self.done):
            assert "undone already" in told["detail"]
            event("undone already")
        else:
            named = [uuid.UUID(each["guid"]).bytes for each in told["conflicts"]]
            assert named == conflicts or not conflicts
            self.check_refused(done, conflicts, skip=skip)
        self.look(response["X-Sync-Run"])
        assert self.rows == rows

    def do_undo_file(self, what: tuple[int, bool]) -> None:
        """By the command, which takes its batches back one after the other."""
        index, skip = what
        files = list(dict.fromkeys(done.file for done in self.done if done.file))
        if not files:
            return

        def watched(run: uuid.UUID, **how: Any) -> Undone:
            of_run = [done for done in self.done if done.run == str(run)]  # none, if it wrote nothing
            conflicts = self.in_the_way(of_run[0], of_run[0].file) if of_run else []
            try:
                undone = undo(run, **how)
            except APIException:
                if not any(other.undoes in of_run for other in self.done):
                    self.check_refused(of_run[0], conflicts, skip=skip)
                raise
            if of_run:
                told = {name: count for name, count in undone._asdict().items() if skip or name != "skipped"}
                self.check_undone(of_run[0], conflicts, told, str(how["origin"].run), skip=skip)
            return undone

        with mock.patch.object(undo_run, "undo", watched):  # only watched: it is the real one
            try:
                call_command("undo_run", str(files[index % len(files)]), skip_conflicts=skip, stdout=StringIO())
            except CommandError:
                event("a file, not undone to its end")
            else:
                event("a file, undone")
        assert self.read() == self.rows

    # --- What is to be expected of an undo

    def is_as_left(self, key: bytes, done: Done, file: uuid.UUID | None) -> bool:
        """By the operation; or by another batch of the file, or the undo of one."""
        last = self.left_by[key][0]
        return done in self.left_by[key] or (
            file is not None and file in (last.file, last.undoes.file if last.undoes else None)
        )

    def in_the_way(self, done: Done, file: uuid.UUID | None = None) -> list[bytes]:
        """The rows that others have written since, and active ones below what is to go; from the top level, by guid.

        Where a whole file is taken back, its batches are no others.
        """
        found = {key for key in done.after if not self.is_as_left(key, done, file)}
        for key, before in done.before.items():
            if self.is_as_left(key, done, file) and not (before and before["is_active"]):
                column = self.models[key].kind.column
                below = {k for k, row in self.rows.items() if row["is_active"] and bytes_of(row.get(column)) == key}
                found |= {k for k in below if not self.is_as_left(k, done, file)}
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

    def check_refused(self, done: Done, conflicts: list[bytes], *, skip: bool) -> None:
        event("in conflict" if conflicts else "against a rule")
        assert not (conflicts and skip)
        assert conflicts or not self.is_lawful(self.put_back(done))

    def check_undone(
        self, done: Done, conflicts: list[bytes], told: Mapping[str, Any], run: str, *, skip: bool
    ) -> None:
        event(f"undone, {'skipping' if conflicts else 'all of it'}")
        event(f"undone, {'an undo' if done.undoes else 'a batch of a file' if done.file else 'another run'}")
        rows = self.rows
        assert skip or (not conflicts and self.is_lawful(self.put_back(done)))
        self.look(run, undoes=done)
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

    def look(self, run: str | None, undoes: Done | None = None, file: uuid.UUID | None = None) -> None:
        """Reads everything, and remembers what has changed since the last time."""
        rows, moment = self.read(), datetime.now(UTC)
        after = {key: row for key, row in rows.items() if row != self.rows.get(key)}
        done = Done(run, moment, {key: self.rows.get(key) for key in after}, after, undoes, file)
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
