"""Who did it, as staff pages say it."""

from collections.abc import Iterable

from tenants.models import ApiKey


def names_of(actors: Iterable[str | None]) -> dict[str, str]:
    """Each recorded actor, `user:<email>`, `api_key:<guid>` or `command:<name>`, as a person says it; one query at the
    most."""
    kinds = {actor: actor.partition(":") for actor in actors if actor}
    guids = {rest for kind, _, rest in kinds.values() if kind == "api_key"}
    keys = {}
    if guids:
        rows = ApiKey.objects.filter(guid__in=guids).values_list("guid", "description")
        keys = {str(guid): f"key “{description}”" for guid, description in rows if description}
    names = {"api_key": lambda rest: keys.get(rest, f"key {rest[:8]}…"), "command": "manage.py {}".format}
    return {actor: names.get(kind, str)(rest) or actor for actor, (kind, _, rest) in kinds.items()}
