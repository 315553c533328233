"""How single values look on staff pages: moments, states, who did it."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.models import ApiKey

NOTHING = "–"


def moment(at: datetime | None) -> SafeString | str:
    """A time in UTC; staff.js shows it in the reader's own time zone."""
    if at is None:
        return NOTHING
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M} UTC")


def badge(text: str, kind: str) -> SafeString:
    """A word on a colour; kinds: good, bad, off, note."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text)


def names_of(actors: Iterable[str | None]) -> dict[str, str]:
    """Each recorded actor, `user:<email>`, `api_key:<guid>` or `command:<name>`, as a person says it; one query at the
    most."""
    kinds = {actor: actor.partition(":") for actor in actors if actor}
    guids = [rest for kind, _, rest in kinds.values() if kind == "api_key" and _is_guid(rest)]
    keys = {}
    if guids:
        rows = ApiKey.objects.filter(guid__in=set(guids)).values_list("guid", "description")
        keys = {str(guid): f"key “{description}”" for guid, description in rows if description}
    shown = {
        "api_key": lambda rest: keys.get(rest, f"key {rest[:8]}…"),
        "command": "manage.py {}".format,
    }
    return {actor: shown.get(kind, str)(rest) or actor for actor, (kind, _, rest) in kinds.items()}


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
