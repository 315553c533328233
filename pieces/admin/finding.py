"""The search box: a scanned or typed text, looked up as what it may be; each look is one indexed query."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from pieces.admin.page import with_parents
from pieces.models import LEVELS, SHORT, Component, Entity, Piece, Project
from ractory.api.query import guid_of
from tenants.models import Company
from tenants.scope import current_scope

MAX_HITS = 50  # per field
# In this order; guids come before all. Each of these has an index by company.
LOOKED_UP: Sequence[tuple[type[Entity], str]] = (
    *((Piece, name) for name in ("barcode", "piece_id", "trolley_cell", "trolley")),
    *((Component, "code"), (Project, "code"), (Project, "company_name")),
)
GTINS = (8, 12, 13, 14)  # digits: of EAN-8, UPC-A, EAN-13 and ITF-14; a shorter one is a longer one with zeros in front


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
    """What has this text as its guid or in one of the fields above, within the scope; whole values only.

    A guid is looked up on every level first. As typed, else in one of the other ways to write the same.
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
    rows = indexed(with_parents(model).filter(**{f"{field}__any_of": _written(text, is_code=field == "barcode")}))
    found = list(rows.order_by("-is_active", "guid")[:MAX_HITS])
    return [entity for entity in found if getattr(entity, field) == text] or found


def _written(text: str, *, is_code: bool) -> list[str]:
    """The ways in which the text may be stored: in capitals or small letters, with a space at an end that nobody sees,
    without the stars around it that some readers of Code 39 send and, of an article's number, with another length."""
    bare = text.strip("*") or text
    texts, digits = {text, bare}, bare.lstrip("0")
    if is_code and bare.isdecimal() and len(bare) in GTINS:
        texts |= {digits.zfill(length) for length in GTINS if len(digits) <= length}
    cases = {case for written in texts for case in (written, written.upper(), written.lower())}
    return [f"{before}{case}{after}" for case in cases for before in ("", " ") for after in ("", " ")]


def indexed(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """With the first column of the indexes by company, also where every company is in scope."""
    if current_scope().company is not None:
        return rows
    return rows.filter(company__any_of=list(Company.objects.values_list("guid", flat=True)))
