"""The search box: a scanned or typed text, looked up as what it may be; each look is one indexed query."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from pieces.admin.page import COLUMNS
from pieces.models import LEVELS, SHORT, Component, Entity, Piece, Project
from ractory.api.query import guid_of
from tenants.models import Company
from tenants.scope import current_scope

MAX_HITS = 50  # per field
# In this order; guids come before all.
LOOKED_UP = ((Piece, "barcode"), (Piece, "piece_id"), (Piece, "trolley_cell"), (Component, "code"), (Project, "code"))


@dataclass(frozen=True, slots=True)
class Found:
    text: str
    hits: Sequence[tuple[str, Sequence[Any]]]  # what has the text as its "piece id", say; the active ones come first

    @property
    def only(self) -> Entity | None:
        """The one that is meant, if there is no doubt: a single hit, or the only active one."""
        everything = {entity.guid: entity for _, entities in self.hits for entity in entities}
        active = [entity for entity in everything.values() if entity.is_active]
        sure = active if len(active) == 1 else list(everything.values())
        return sure[0] if len(sure) == 1 else None


def find(text: str) -> Found:
    """What has this text as its barcode, piece_id, guid, trolley cell or code, within the scope; exact matches only.

    A guid is looked up on every level first. Letters as typed, else all in capitals or all small.
    """
    text = text.strip().replace("\0", "")[: SHORT + 1]  # which no value has
    hits = []
    with suppress(ValueError):
        guid = guid_of(text)
        hits = [("guid", list(level.all_objects.without_picture().filter(guid=guid))) for level in LEVELS]
    if text and not any(entities for _, entities in hits):
        hits = [(field.replace("_", " "), _having(model, field, text)) for model, field in LOOKED_UP]
    return Found(text, [(label, entities) for label, entities in hits if entities])


def _having(model: type[Entity], field: str, text: str) -> list[Any]:
    cases = list(dict.fromkeys((text, text.upper(), text.lower())))
    rows = indexed(model.all_objects.filter(**{f"{field}__any_of": cases}))
    parents = [name for name in ("project", "component") if name in model.parents]
    shown = rows.select_related(*parents).only("is_active", *COLUMNS[model], *(f"{parent}__code" for parent in parents))
    found = list(shown.order_by("-is_active", "guid")[:MAX_HITS])
    return [entity for entity in found if getattr(entity, field) == text] or found


def indexed(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """With the first column of the indexes by company, also where every company is in scope."""
    if current_scope().company is not None:
        return rows
    return rows.filter(company__any_of=list(Company.objects.values_list("guid", flat=True)))
