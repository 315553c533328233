"""Entities and numbers of them as people name them: `W01` of a component, "1 assembly, 12 pieces"."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pieces.models import LEVELS, Assembly, Entity, Operation
from pieces.receipts import SyncRun


def name_of(entity: Entity) -> str:
    if isinstance(entity, Assembly) and not entity.trolley_cell:
        return f"assembly {str(entity.guid)[:8]}…"
    return str(entity)


def found_by_guid(wanted: Iterable[tuple[str, uuid.UUID]]) -> dict[uuid.UUID, Any]:
    """The entities of these (kind, guid), active or not, with their names and those of the project and the component
    that they are in; one query per kind."""
    guids = defaultdict(list)
    for kind, guid in wanted:
        guids[kind].append(guid)
    found: dict[uuid.UUID, Any] = {}
    for level in (level for level in LEVELS if level.kind in guids):
        above = level.parents[:2]
        shown = ("is_active", "deletion", level.known_by, *(f"{parent}__code" for parent in above))
        rows = level.all_objects.filter(guid__any_of=guids[level.kind]).select_related(*above).only(*shown)
        found |= {row.guid: row for row in rows}
    return found


def with_others(name: str, rows: int) -> str:
    """Of several that went together, the one that stands for them, and how many more there are."""
    return f"{name} and {rows - 1} more" if rows > 1 else name


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Counts by the plural of a level, without the zeros: "1 component, 12 assemblies, 340 pieces"."""
    singular = {level.plural: level.kind.value for level in LEVELS}
    parts = [f"{n:,} {singular[plural] if n == 1 else plural}".replace(",", " ") for plural, n in counts.items() if n]
    return ", ".join(parts) or "nothing"


def operation_in_words(operation: str) -> str:
    words = {Operation.EDIT: "change by hand", Operation.DELETE: "deletion", Operation.COMPLETE: "complete set"}
    return words.get(Operation(operation), operation)


def run_in_words(run: SyncRun, first: Entity | None = None) -> str:
    """What a run was, by its receipt: "sync of 144 pieces"; of a body that nobody has read "sync of pieces"; of a
    single one that is known as the first that it wrote "sync of piece W-1"."""
    what = counts_in_words({run.entity: run.received}) if run.received else run.entity
    if first and run.received == 1 and first.plural == run.entity:
        what = f"{first.kind} {name_of(first)}"
    return f"{operation_in_words(run.operation)} of {what}"
