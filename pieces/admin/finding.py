"""The search box: a scanned or typed text, looked up as what it may be; each look is one indexed query."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from pieces.models import LEVELS, SHORT, Component, Entity, Pictured, Piece, Project
from ractory.api.query import guid_of
from tenants.models import Company
from tenants.scope import current_scope

MAX_HITS = 50  # per field
LOOKED_UP = (  # in this order; guids come after the piece_id
    (Piece, "barcode"),
    (Piece, "piece_id"),
    (Piece, "trolley_cell"),
    (Component, "code"),
    (Project, "code"),
)
SHOWN = {
    Piece: ("piece_id", "barcode", "trolley_cell", "profile_code", "outer_length", "project__code", "component__code"),
    Component: ("code", "designation", "project__code"),
    Project: ("code", "company_name"),
}


@dataclass(frozen=True, slots=True)
class Hits:
    """The entities, the active ones first, that have the text as their `label`."""

    label: str
    entities: Sequence[Any]

    @property
    def is_cut(self) -> bool:
        return len(self.entities) == MAX_HITS


@dataclass(frozen=True, slots=True)
class Found:
    text: str
    hits: Sequence[Hits]

    @property
    def only(self) -> Entity | None:
        """The one that is meant, if there is no doubt: a single hit, or the only active one."""
        everything = {entity.guid: entity for hits in self.hits for entity in hits.entities}
        active = [entity for entity in everything.values() if entity.is_active]
        sure = active if len(active) == 1 else list(everything.values())
        return sure[0] if len(sure) == 1 else None


def find(text: str) -> Found:
    """What has this text as its barcode, piece_id, guid, trolley cell or code, within the scope; exact matches only.

    A guid is looked up on every level first. Letters as typed, else all in capitals or all small.
    """
    text = text.strip().replace("\0", "")[: SHORT + 1]  # which no value has
    if not text:
        return Found(text, ())
    guid = _guid(text)
    hits = list(_by_guid(guid)) if guid else []
    return Found(text, hits or [found for model, field in LOOKED_UP if (found := _by_value(model, field, text))])


def indexed(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """With the first column of the indexes by company, also where every company is in scope."""
    if current_scope().company is not None:
        return rows
    return rows.filter(company__any_of=list(Company.objects.values_list("guid", flat=True)))


def _by_value(model: type[Entity], field: str, text: str) -> Hits | None:
    cases = list(dict.fromkeys((text, text.upper(), text.lower())))
    rows = indexed(model.all_objects.filter(**{f"{field}__any_of": cases}))
    parents = [name for name in ("project", "component") if name in model.parents]
    found = list(
        rows.select_related(*parents)
        .only("is_active", "deleted_at", *SHOWN[model])
        .order_by("-is_active", "guid")[:MAX_HITS]
    )
    exact = [entity for entity in found if getattr(entity, field) == text] or found
    return Hits(str(model._meta.get_field(field).verbose_name), exact) if exact else None  # type: ignore[union-attr]  # a column of its own


def _by_guid(guid: uuid.UUID) -> Iterator[Hits]:
    for model in LEVELS:
        pictures = ("picture",) if issubclass(model, Pictured) else ()
        entity = model.all_objects.filter(guid=guid).defer(*pictures).first()
        if entity is not None:
            yield Hits("guid", [entity])


def _guid(text: str) -> uuid.UUID | None:
    try:
        return guid_of(text) if len(text) >= 32 else None
    except ValueError:
        return None
