"""A follower of the change feed, for tests: it asks again and again, and sets each row to what it is told."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import orjson

from pieces.models import LEVELS
from pieces.reading import SHORT_PIECE, fields_of
from ractory.api.rendering import to_json
from tenants.scope import every_company

Json = dict[str, Any]
Rows = dict[tuple[str, str], Json]  # objects by entity and guid


class Follower:
    """Asks for `/api/v1/changes` with these parameters; `get` says what is answered to a path."""

    def __init__(self, get: Callable[[str], Any], **parameters: Any) -> None:
        self.get, self.parameters = get, parameters
        self.cursor: str | None = None
        self.mirror: Rows = {}

    def ask(self, **more: Any) -> Any:
        """One answer, whatever it is; the cursor stays."""
        after = {} if self.cursor is None else {"after": self.cursor}
        return self.get(f"/api/v1/changes?{urlencode({**self.parameters, **after, **more})}")

    def page(self, **more: Any) -> Json:
        """One answer, which must be a 200, taken into the mirror."""
        answer = self.ask(**more)
        assert answer.status_code == 200, answer.content
        page: Json = answer.json()
        for change in page["changes"]:
            self.mirror[change["entity"], change["guid"]] = change["object"]
        self.cursor = page["cursor"]
        return page

    def pages(self, **more: Any) -> Iterator[Json]:
        """Answers until there is nothing more."""
        while True:
            page = self.page(**more)
            yield page
            if not page["more"]:
                return

    def follow(self, **more: Any) -> list[Json]:
        """All changes until there is nothing more."""
        return [change for page in self.pages(**more) for change in page["changes"]]


@every_company()
def stored(**conditions: Any) -> Rows:
    """What a mirror of the short objects must hold: every row that there is."""
    found: Rows = {}
    for level in LEVELS:
        fields = SHORT_PIECE if level.plural == "pieces" else fields_of(level, full=False)
        for row in level.all_objects.filter(**conditions).values(*fields):
            found[level.plural, str(row["guid"])] = as_sent(row)
    return found


def as_sent(row: Json) -> Json:
    """A row of the database as it is on the wire."""
    sent: Json = orjson.loads(to_json(row))
    return sent
