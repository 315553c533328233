"""Addresses of entities on staff pages, and texts whose names and guids are links to them."""

import re
import uuid
from collections.abc import Iterable

from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from pieces.models import Entity
from pieces.names import name_of

GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def page_of(kind: str, guid: uuid.UUID | str) -> str:
    return reverse(f"admin:pieces_{kind}_change", args=[guid])


def act_on(route: str, guids: Iterable[uuid.UUID | str]) -> str:
    return reverse(f"admin:{route}", query={"guid": list(guids)})


def link_to(entity: Entity | None) -> SafeString | str:
    if entity is None:
        return "–"
    return format_html('<a href="{}">{}</a>', page_of(entity.kind, entity.guid), name_of(entity))


def with_links(text: str) -> SafeString:
    """The text with each guid a link that finds what it names."""
    find = reverse("admin:pieces_piece_find")
    escaped = str(conditional_escape(text))
    return mark_safe(GUID.sub(rf'<a href="{find}?q=\g<0>">\g<0></a>', escaped))  # noqa: S308  # escaped above
