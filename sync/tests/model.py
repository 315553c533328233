"""The contract's sections "Sync" and "Complete sets" in plain Python, a few objects and no cleverness: what the server
is held against."""

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pieces.models import LEVELS_BY_KIND

Guid = uuid.UUID
PARENTS = {kind: [str(parent) for parent in model.parents] for kind, model in LEVELS_BY_KIND.items()}
PLURALS = {kind: model.plural for kind, model in LEVELS_BY_KIND.items()}
SINGULAR = {plural: kind for kind, plural in PLURALS.items()}


@dataclass
class Row:
    kind: str
    guid: Guid
    parents: dict[str, Guid | None]
    content: dict[str, Any]
    active: bool = True
    deletion: int | None = None
    written: int = 0  # goes up with every write


Places = set[tuple[int, str]]  # index and field of each fault; of a parent outside the snapshot "outside FIELD"
Ceiling = int | str | None


@dataclass
class Snapshot:
    """A complete set of a company's rows of one kind, or of those in one parent, the only one in `scope`."""

    kind: str
    scope: dict[str, Guid]
    max_deleted: Ceiling
    there: set[Guid]  # the rows of the set when it was opened
    seen: set[Guid] = field(default_factory=set)
    is_given_up: bool = False
    answer: dict[str, int] = field(default_factory=dict)  # what completing it said


@dataclass
class World:
    """The rows of one company; `foreign` are guids that another company holds."""

    blank: dict[str, dict[str, Any]]  # by kind: what a new row has
    foreign: set[Guid]
    rows: dict[Guid, Row] = field(default_factory=dict)
    deletions: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)

    def try_sync(
        self, kind: str, items: list[dict[str, Any]], *, match: bool, number: int | None = None
    ) -> tuple["World", list[str], Places]:
        """The world after the batch and what became of each item; or the places of the faults, if there are any.

        `number` is that of an open snapshot of this kind.
        """
        after = deepcopy(self)
        given = [item.get("guid") or (self.matched(item) if match else uuid.uuid4()) for item in items]
        faults = self.faults(kind, items, given, self.snapshots[number].scope if number is not None else {})
        if faults:
            return self, [], faults
        actions = [
            after.apply(kind, guid, item) if guid else "unchanged" for guid, item in zip(given, items, strict=True)
        ]
        if number is not None:
            after.snapshots[number].seen |= {guid for guid in given if guid}
        return after, actions, after.clashes(kind)

    def rename(self, ours: Guid, theirs: Guid) -> None:
        """A row for which the server made up another guid than the model did."""
        row = self.rows[theirs] = self.rows.pop(ours)
        row.guid = theirs
        for snapshot in self.snapshots:
            snapshot.seen = {theirs if guid == ours else guid for guid in snapshot.seen}

    def open_snapshot(self, kind: str, scope: dict[str, Guid], max_deleted: Ceiling) -> set[str]:
        """Opens one; or the parents that are none of this kind's, or are not there."""
        active = {row.guid for row in self.rows.values() if row.active}
        bad = {name for name, guid in scope.items() if name not in PARENTS[kind] or guid not in active}
        if not bad:
            there = {row.guid for row in self.members(kind, scope)}
            self.snapshots.append(Snapshot(kind, scope, max_deleted, there))
        return bad

    def refusal(self, kind: str, number: int) -> int | None:
        """The status of a batch of this kind for a snapshot that does not take it."""
        snapshot = self.snapshots[number]
        if snapshot.is_given_up:
            return 404
        if snapshot.kind != kind:
            return 422
        return 409 if snapshot.answer else None

    def give_up(self, snapshot: Snapshot) -> int:
        """The status."""
        if snapshot.is_given_up or snapshot.answer:
            return 409 if snapshot.answer else 404
        snapshot.is_given_up = True
        return 204

    def members(self, kind: str, scope: Mapping[str, Guid]) -> list[Row]:
        rows = [row for row in self.rows.values() if row.kind == kind and row.active]
        return [row for row in rows if all(row.parents[name] == guid for name, guid in scope.items())]

    def complete(self, snapshot: Snapshot, max_deleted: Ceiling, *, dry_run: bool) -> tuple[int, dict[str, int]]:
        """The status and what it says, but for the guid of the run."""
        if snapshot.is_given_up:
            return 404, {}
        if snapshot.answer:
            return 200, snapshot.answer
        members = self.members(snapshot.kind, snapshot.scope)
        missing = [row for row in members if row.guid in snapshot.there and row.guid not in snapshot.seen]
        allowed = ceiling(snapshot.max_deleted if max_deleted is None else max_deleted, len(members))
        if len(missing) > allowed:
            return 409, {"would_delete": len(missing), "max_deleted": allowed}
        answer = {"seen": len(snapshot.seen), "deleted": len(missing)}
        if not dry_run:
            snapshot.answer = answer
            self.delete(*missing)
        return 200, answer

    def matched(self, item: dict[str, Any]) -> Guid | None:
        """The active piece with the item's piece_id, else a new one; None if the item matches none and wants none."""
        new = None if item.get("is_active") is False else uuid.uuid4()
        return self.holders().get((item["project_guid"], item["piece_id"]), new)

    def holders(self) -> dict[tuple[Guid | None, str], Guid]:
        pieces = [row for row in self.rows.values() if row.kind == "piece" and row.active]
        return {(row.parents["project"], row.content["piece_id"]): row.guid for row in pieces}

    def faults(
        self, kind: str, items: list[dict[str, Any]], guids: Sequence[Guid | None], scope: Mapping[str, Guid]
    ) -> Places:
        found: Places = set()
        usable = []
        for index, (item, guid) in enumerate(zip(items, guids, strict=True)):
            if guid and (guid in guids[:index] or guid in self.foreign):
                found.add((index, "guid"))
                continue
            row = self.rows.get(guid) if guid else None
            named = {name: item.get(f"{name}_guid", row.parents[name] if row else None) for name in scope}
            if named != scope:
                found |= {(index, f"outside {name}_guid") for name in scope}
                continue
            bad = [] if self.stays_deleted(kind, item, row) else self.bad_parents(kind, item, row)
            found |= {(index, f"{parent}_guid") for parent in bad}
            if guid and kind == "piece" and item.get("is_active") is not False and "project" not in bad:
                usable.append((index, guid, (item["project_guid"], item["piece_id"])))
        return found | self.taken_piece_ids(usable, {guid for guid in guids if guid})

    def stays_deleted(self, kind: str, item: dict[str, Any], row: Row | None) -> bool:
        """A deleted row that an item leaves deleted, and where it is: its parents may be deleted, too."""
        if row is None or row.active or item.get("is_active") is not False:
            return False
        return all(item.get(f"{name}_guid", row.parents[name]) == row.parents[name] for name in PARENTS[kind])

    def bad_parents(self, kind: str, item: dict[str, Any], row: Row | None) -> list[str]:
        """Those that are missing or do not fit; for a row that does not come as a deleted one, those deleted, too."""
        bad, comes_deleted = list[str](), row is None and item.get("is_active") is False
        chain: dict[str, Guid | None] = {}
        for parent in PARENTS[kind]:
            chain[parent] = named = item.get(f"{parent}_guid", row.parents[parent] if row else None)
            if named is None:
                continue
            above = self.rows.get(named)
            missing = above is None or above.kind != parent or not (above.active or comes_deleted)
            if missing or (not bad and above and any(above.parents[name] != chain[name] for name in above.parents)):
                bad.append(parent)
        return bad

    def taken_piece_ids(self, wanted: list[tuple[int, Guid, Any]], batch: set[Guid]) -> Places:
        before = self.holders()
        owner = {key: guid for key, guid in before.items() if guid not in batch}
        keepers = {guid: key for _, guid, key in wanted if before.get(key) == guid}
        owner |= {key: guid for guid, key in keepers.items()}
        return {(index, "piece_id") for index, guid, key in wanted if owner.setdefault(key, guid) != guid}

    def apply(self, kind: str, guid: Guid, item: dict[str, Any]) -> str:
        wants_active = item.get("is_active") is not False
        parents = {name: item.get(f"{name}_guid") for name in PARENTS[kind]}
        said = {name: value for name, value in item.items() if name in self.blank[kind]}
        row = self.rows.get(guid)
        if row is None:
            self.rows[guid] = row = Row(kind, guid, parents, {**self.blank[kind], **said})
            if not wants_active:
                self.delete(row)
            return "inserted"
        parents = {name: item.get(f"{name}_guid", row.parents[name]) for name in PARENTS[kind]}
        content = {**row.content, **said}
        if (parents, content, wants_active) == (row.parents, row.content, row.active):
            return "unchanged"
        moved, deletion, was_active = parents != row.parents, row.deletion, row.active
        row.parents, row.content, row.written = parents, content, row.written + 1
        if moved:
            for below in self.below(row):
                below.parents |= parents
                below.written += 1
        if was_active and not wants_active:
            self.delete(row)
            return "deleted"
        if wants_active and not was_active:
            for other in [row, *self.below(row)]:
                if other.deletion == deletion:
                    other.active, other.deletion, other.written = True, None, other.written + 1
            return "restored"
        return "updated"

    def below(self, row: Row) -> list[Row]:
        return [other for other in self.rows.values() if other.parents.get(row.kind) == row.guid]

    def delete(self, *rows: Row) -> None:
        """As one deletion."""
        self.deletions += 1
        for row in rows:
            for other in [row, *self.below(row)]:
                if other.active:
                    other.active, other.deletion, other.written = False, self.deletions, other.written + 1

    def clashes(self, kind: str) -> Places:
        """Whether a move or a restore has given a project two active pieces of one piece_id.

        Index -1 stands for any: which of two newcomers is to blame is not the contract's.
        """
        active = [row for row in self.rows.values() if row.kind == "piece" and row.active]
        keys = [(row.parents["project"], row.content["piece_id"]) for row in active]
        return {(-1, kind)} if kind != "piece" and len(set(keys)) < len(keys) else set()


def ceiling(max_deleted: Ceiling, rows: int) -> int:
    """How many of so many rows may go."""
    if isinstance(max_deleted, int):
        return max_deleted
    share = int(rows * Fraction((max_deleted or "10%").removesuffix("%")) / 100)
    return max(share, 0 if max_deleted else 10)
