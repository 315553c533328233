"""Addresses of entities on staff pages, and texts whose names and guids are links to them."""

import re
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from pieces.models import Entity
from pieces.names import name_of

GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def page_of(kind: str, guid: uuid.UUID | str) -> str:
    return reverse(f"admin:pieces_{kind}_change", args=[guid])


def list_of(model: type[Entity], **filters: Any) -> str:
    return f"{reverse(f'admin:pieces_{model.kind}_changelist')}?{urlencode(filters)}"


def act_on(route: str, guids: Iterable[uuid.UUID | str]) -> str:
    return f"{reverse(f'admin:{route}')}?{urlencode([('guid', guid) for guid in guids])}"


def link_to(entity: Entity | None) -> SafeString | str:
    if entity is None:
        return "–"
    return format_html('<a href="{}">{}</a>', page_of(entity.kind, entity.guid), name_of(entity))


def with_links(text: str) -> SafeString:
    """The text with each guid a link that finds what it names."""
    find = reverse("admin:pieces_piece_find")
    escaped = str(conditional_escape(text))
    return mark_safe(GUID.sub(rf'<a href="{find}?q=\g<0>">\g<0></a>', escaped))  # noqa: S308  # escaped above
