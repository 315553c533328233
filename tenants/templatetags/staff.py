"""Filters of staff templates. unfold renders a template while it is imported, so imports come late."""

from datetime import datetime

from django import template

register = template.Library()


@register.filter
def moment(at: datetime | None) -> str:
    from tenants.admin import shown

    return shown.moment(at)


@register.filter
def badge(text: str, kind: str) -> str:
    from tenants.admin import shown

    return shown.badge(text, kind)
