"""Filters of templates that show entities. unfold renders a template while it is imported, so imports come late."""

from typing import Any

from django import template

register = template.Library()


@register.filter
def link(entity: Any) -> str:
    from pieces.admin.linking import link_to

    return link_to(entity)
