"""Addresses of entities on staff pages, and links to them. No import of the admin here: unfold renders a template while
it is imported, and that loads this module."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from pieces.models import Entity
from pieces.names import name_of

register = template.Library()


def page_of(kind: str, guid: uuid.UUID | str) -> str:
    return reverse(f"admin:pieces_{kind}_change", args=[guid])


def act_on(route: str, guids: Iterable[uuid.UUID | str]) -> str:
    return reverse(f"admin:{route}", query={"guid": list(guids)})


@register.filter("link")
def link_to(entity: Entity | None) -> SafeString | str:
    if entity is None:
        return "–"
    return format_html('<a href="{}">{}</a>', page_of(entity.kind, entity.guid), name_of(entity))


@register.filter
def place(entity: Entity | None) -> SafeString | str:
    """The project and the component that it is in, as links; nothing of a project, and of what is gone."""
    above = [getattr(entity, kind) for kind in entity.parents[:2]] if entity else []
    return format_html_join(" › ", "{}", ((link_to(parent),) for parent in above))


def with_links(text: str, links: Mapping[Any, str]) -> SafeString:
    """The text, in which a link stands for each of these guids."""
    html: str = conditional_escape(text)
    for guid, link in links.items():
        html = html.replace(str(guid), conditional_escape(link))
    return mark_safe(html)  # noqa: S308  # escaped above
