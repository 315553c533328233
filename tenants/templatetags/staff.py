"""How moments and states look on staff pages: filters of templates, which the lists' columns call too. No import of the
admin here: unfold renders a template while it is imported, and that loads this module."""

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"

register = template.Library()


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A time in UTC; staff.js shows it in the reader's own time zone."""
    if at is None:
        return NOTHING
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M} UTC")


@register.filter
def badge(text: str, kind: str) -> SafeString:
    """A word on a colour; kinds: good, bad, off, note."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text)
