"""Which row an item without a guid means (contract, "Sync": `match`): a piece by its piece_id, others by their code."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID as Guid

from django.db import connection
from django.db.models import CharField, Count, Min
from django.db.models.functions import Cast
from uuid_utils.compat import uuid7

from pieces.expressions import PieceKey, holders
from pieces.models import Component, Entity, Piece, Project
from sync.schemas import Item

# What an entity is matched by: a field, and the relation within which it says which row is meant.
MATCHED_BY: dict[type[Entity], tuple[str, str]] = {
    Project: ("code", "company_guid"),
    Component: ("code", "project_guid"),
    Piece: ("piece_id", "project_guid"),
}


def key_of(model: type[Entity], item: Item) -> PieceKey:
    name, within = MATCHED_BY[model]
    return item[within].bytes, item[name]


def match_items(model: type[Entity], items: Mapping[int, Item], *, match: bool) -> tuple[list[Guid | None], set[int]]:
    """Each item's guid: its own, that of the row it matches, or a new one; None if it has none and is to be gone. And
    the places of items that mean several rows, or one of the batch."""
    if not match:
        return [item.get("guid") or uuid7() for item in items.values()], set()
    keys = {place: key_of(model, item) for place, item in items.items() if not item.get("guid")}
    found = holders(keys.values()) if model is Piece else {}
    several: set[PieceKey] = set()
    if model is not Piece and keys:
        found, several = _by_code(model, [items[place] for place in keys])
    guids, ambiguous, wanted = list[Guid | None](), set[int](), set[PieceKey]()
    for place, item in items.items():
        guid = item.get("guid")
        if guid is None:
            key, gone = keys[place], item.get("is_active") is False
            if key in several or (model is not Piece and key in wanted and key not in found):
                ambiguous.add(place)
            wanted.add(key)
            guid = found.get(key) or (None if gone else uuid7())
        guids.append(guid)
    return guids, ambiguous


def _by_code(model: type[Entity], items: Sequence[Item]) -> tuple[dict[PieceKey, Guid], set[PieceKey]]:
    """The active rows that have these codes, and the codes that several have. Waits for others who match by codes in
    these companies: no constraint would keep two from inserting the same."""
    if connection.vendor == "postgresql":  # on SQLite a writing transaction is alone
        names = {b"match" + item["company_guid"].bytes for item in items}
        for digest in sorted(hashlib.blake2b(name, digest_size=8).digest() for name in names):
            connection.cursor().execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest, signed=True)])
    name, within = MATCHED_BY[model]
    wanted: dict[str, Any] = {f"{column}__any_of": list({item[column] for item in items}) for column in (name, within)}
    rows = model.objects.filter(**wanted).order_by().values_list(within, name)
    counted = rows.annotate(rows=Count("guid"), one=Min(Cast("guid", CharField())))
    found = {(above.bytes, code): (number, one) for above, code, number, one in counted}
    one_each = {key: Guid(one) for key, (number, one) in found.items() if number == 1}
    return one_each, {key for key, (number, _) in found.items() if number > 1}
