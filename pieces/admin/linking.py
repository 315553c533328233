"""Addresses and names of entities on staff pages, and messages whose guids become links."""

import re
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from pieces.models import LEVELS_BY_KIND, Assembly, Entity, Kind

GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
NAMES = {Kind.PROJECT: "code", Kind.COMPONENT: "code", Kind.ASSEMBLY: "trolley_cell", Kind.PIECE: "piece_id"}

Counts = dict[str, int]  # by the plural of a level


def page_of(kind: str, guid: uuid.UUID | str) -> str:
    return reverse(f"admin:pieces_{kind}_change", args=[guid])


def list_of(model: type[Entity], **filters: Any) -> str:
    return f"{reverse(f'admin:pieces_{model.kind}_changelist')}?{urlencode(filters)}"


def act_on(route: str, guids: Iterable[uuid.UUID]) -> str:
    return f"{reverse(f'admin:{route}')}?{urlencode([('guid', guid) for guid in guids])}"


def name_of(entity: Entity) -> str:
    return (
        f"assembly {str(entity.guid)[:8]}…" if isinstance(entity, Assembly) and not entity.trolley_cell else str(entity)
    )


def link_to(entity: Entity | None) -> SafeString | str:
    if entity is None:
        return "–"
    return format_html('<a href="{}">{}</a>', page_of(entity.kind, entity.guid), name_of(entity))


def names_by_guid(wanted: Iterable[tuple[str, uuid.UUID]]) -> dict[uuid.UUID, str]:
    """The names of these (kind, guid), active or not; one query per kind."""
    by_kind: dict[str, list[uuid.UUID]] = {}
    for kind, guid in wanted:
        by_kind.setdefault(kind, []).append(guid)
    names: dict[uuid.UUID, str] = {}
    for kind, guids in by_kind.items():
        model = LEVELS_BY_KIND[kind]
        only = ("guid", NAMES[Kind(kind)])
        names |= {row.guid: name_of(row) for row in model.all_objects.filter(guid__any_of=guids).only(*only)}
    return names


def with_links(text: str) -> SafeString:
    """The text with each guid a link that finds what it names."""
    find = reverse("admin:pieces_piece_find")
    escaped = str(conditional_escape(text))
    return mark_safe(GUID.sub(rf'<a href="{find}?q=\g<0>">\g<0></a>', escaped))  # noqa: S308  # escaped above


def said(counts: Counts) -> str:
    """For a person: "1 component, 12 assemblies, 340 pieces"."""
    singular = {model.plural: model.kind.value for model in LEVELS_BY_KIND.values()}
    parts = [f"{n:,} {singular[plural] if n == 1 else plural}".replace(",", " ") for plural, n in counts.items() if n]
    return ", ".join(parts) or "nothing"
