"""The contract's section "Sync" in plain Python, a few objects and no cleverness: what the server is held against."""

import uuid
from copy import deepcopy
from dataclasses import dataclass, field
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


Places = set[tuple[int, str]]  # index and field of each fault


@dataclass
class World:
    """The rows of one company; `foreign` are guids that another company holds."""

    blank: dict[str, dict[str, Any]]  # by kind: what a new row has
    foreign: set[Guid]
    rows: dict[Guid, Row] = field(default_factory=dict)
    deletions: int = 0

    def try_sync(self, kind: str, items: list[dict[str, Any]], *, match: bool) -> tuple["World", list[str], Places]:
        """The world after the batch and what became of each item; or the places of the faults, if there are any."""
        after = deepcopy(self)
        given = [item.get("guid") or (self.matched(item) if match else uuid.uuid4()) for item in items]
        faults = self.faults(kind, items, given)
        if faults:
            return self, [], faults
        actions = [
            after.apply(kind, guid, item) if guid else "unchanged" for guid, item in zip(given, items, strict=True)
        ]
        return after, actions, after.clashes(kind)

    def matched(self, item: dict[str, Any]) -> Guid | None:
        """The active piece with the item's piece_id, else a new one; None if the item matches none and wants none."""
        new = None if item.get("is_active") is False else uuid.uuid4()
        return self.holders().get((item["project_guid"], item["piece_id"]), new)

    def holders(self) -> dict[tuple[Guid | None, str], Guid]:
        pieces = [row for row in self.rows.values() if row.kind == "piece" and row.active]
        return {(row.parents["project"], row.content["piece_id"]): row.guid for row in pieces}

    def faults(self, kind: str, items: list[dict[str, Any]], guids: list[Guid | None]) -> Places:
        found: Places = set()
        usable = []
        for index, (item, guid) in enumerate(zip(items, guids, strict=True)):
            if guid and (guid in guids[:index] or guid in self.foreign):
                found.add((index, "guid"))
                continue
            row = self.rows.get(guid) if guid else None
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

    def delete(self, row: Row) -> None:
        self.deletions += 1
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
