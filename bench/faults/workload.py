"""The batches of the fault suite: of every kind that could be lost, doubled or torn, each to be told from all others.

Whether a batch is there, or undone, is one query, made from the batch itself: `probe` counts the rows that show it.
"""

import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Item = dict[str, Any]

TABLES = {"components": "pieces_component", "assemblies": "pieces_assembly", "pieces": "pieces_piece"}
TAGS = {"components": "designation", "assemblies": "trolley", "pieces": "barcode"}
MAX_SMALL, LARGE, STANDING, CONTESTED = 12, 1000, 20, 30  # items


@dataclass(slots=True)
class Batch:
    kind: str
    entity: str
    key: str  # and the tag in its rows
    items: list[Item]
    probe: str  # SQL that counts the rows which show this batch, by `written`, or that it was undone, by `taken_back`
    written: Sequence[Any]
    taken_back: Sequence[Any] = ()
    refused: bool = False
    contested: bool = False  # another writer may have written over it
    runs: list[str] = field(default_factory=list)  # its own, the undo of that, the undo of the undo …

    @property
    def whole(self) -> int:
        """What the probe counts once the batch is written."""
        return 0 if self.refused else len(self.items)

    @property
    def before(self) -> int:
        return len(self.items) if self.contested else 0

    @property
    def inserts(self) -> bool:
        """Whether its rows are its own, with its tag in them: no other batch ever writes these."""
        return TAGS[self.entity] in self.items[0]

    @property
    def is_undone(self) -> bool:
        return len(self.runs) > 0 and len(self.runs) % 2 == 0

    @property
    def shown(self) -> Sequence[Any]:
        """The probe's parameters for what the rows should be now."""
        return self.taken_back if self.is_undone else self.written

    @property
    def path(self) -> str:
        return f"/api/v1/sync/{self.entity}"

    @property
    def body(self) -> bytes:
        return json.dumps({self.entity: self.items}, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a writer works: rows of its own, and pieces that all writers write."""

    company: str
    project: str
    component: str
    contested: Item  # the three guids above the pieces that all writers write

    @property
    def above(self) -> Item:
        return {"company_guid": self.company, "project_guid": self.project, "component_guid": self.component}


class Workload:
    """One writer's batches, decided by `rng`."""

    def __init__(self, place: Place, name: str, rng: random.Random) -> None:
        self.place, self.name, self.rng = place, name, rng
        self.standing = [self._guid() for _ in range(STANDING)]
        self.last_standing: Batch | None = None
        self.number = 0
        self._kinds: list[tuple[int, Callable[[str], Batch]]] = [
            (24, self._new_pieces),
            (14, self._pieces_without_guid),
            (18, self._assemblies_without_guid),
            (8, self._components_without_guid),
            (14, self._standing_pieces),
            (8, self._contested_pieces),
            (12, self._faulty),
            (2, self._thousand),
        ]

    def next(self) -> Batch:
        self.number += 1
        weights = [weight for weight, _ in self._kinds]
        [(_, make)] = self.rng.choices(self._kinds, weights)
        return make(f"{self.name}-{self.number}")

    def _guid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def _count(self) -> int:
        return self.rng.randint(1, MAX_SMALL)

    def _piece(self, tag: str, index: int, **fields: Any) -> Item:
        return {**self.place.above, "piece_id": f"{tag}/{index}", "barcode": tag, "outer_length": index, **fields}

    def _tagged(self, kind: str, entity: str, key: str, items: list[Item], *, refused: bool = False) -> Batch:
        probe = f"SELECT count(*) FROM {TABLES[entity]} WHERE {TAGS[entity]} = %s AND is_active = %s"
        return Batch(kind, entity, key, items, probe, [key, True], [key, False], refused)

    def _new_pieces(self, tag: str) -> Batch:
        items = [self._piece(tag, index, guid=self._guid()) for index in range(self._count())]
        return self._tagged("new pieces", "pieces", tag, items)

    def _pieces_without_guid(self, tag: str) -> Batch:
        items = [self._piece(tag, index) for index in range(self._count())]
        return self._tagged("new pieces without guid", "pieces", tag, items)

    def _assemblies_without_guid(self, tag: str) -> Batch:
        items = [{**self.place.above, "trolley": tag, "cell_number": index} for index in range(self._count())]
        return self._tagged("new assemblies without guid", "assemblies", tag, items)

    def _components_without_guid(self, tag: str) -> Batch:
        above = {"company_guid": self.place.company, "project_guid": self.place.project}
        items = [{**above, "code": f"{index}", "designation": tag} for index in range(self._count())]
        return self._tagged("new components without guid", "components", tag, items)

    def _thousand(self, tag: str) -> Batch:
        items = [self._piece(tag, index, guid=self._guid(), info2=tag * 9, bar_id=tag) for index in range(LARGE)]
        return self._tagged("1000 new pieces", "pieces", tag, items)

    def _standing_pieces(self, tag: str) -> Batch:
        """The same pieces again and again: updated, deleted, restored."""
        last = self.last_standing
        is_active = last is None or self.rng.random() < 0.7
        items = [
            {**self.place.above, "guid": guid, "piece_id": f"{self.name}/{guid}", "cell": tag, "is_active": is_active}
            for guid in self.standing
        ]
        probe = "SELECT count(*) FROM pieces_piece WHERE cell = %s AND is_active = %s"
        before = last.shown if last else [tag, False]  # the first one inserts them
        self.last_standing = Batch("updates, deletions", "pieces", tag, items, probe, [tag, is_active], before)
        return self.last_standing

    def _contested_pieces(self, tag: str) -> Batch:
        """Pieces that all writers update, each in an order of its own; by then another may have written over it."""
        items = contested_pieces(self.place.contested, tag)
        guids = [item["guid"] for item in items]
        self.rng.shuffle(items)
        probe = (
            "SELECT CASE WHEN count(DISTINCT cell) = 1 THEN count(*) ELSE -1 END FROM pieces_piece "
            "WHERE guid = ANY(%s::uuid[])"
        )
        written = [sorted(guids)]  # the same as before it: all alike
        return Batch("contested updates", "pieces", tag, items, probe, written, written, contested=True)

    def _faulty(self, tag: str) -> Batch:
        """One item, anywhere, has a component that does not exist."""
        items = [{**self.place.above, "trolley": tag, "cell_number": index} for index in range(self._count())]
        self.rng.choice(items)["component_guid"] = self._guid()
        return self._tagged("refused", "assemblies", tag, items, refused=True)


def contested_pieces(above: Item, tag: str) -> list[Item]:
    """The pieces in the component `above` that all writers write."""
    guids = [str(uuid.uuid5(uuid.UUID(above["component_guid"]), str(number))) for number in range(CONTESTED)]
    return [{**above, "guid": guid, "piece_id": guid, "cell": tag} for guid in guids]
