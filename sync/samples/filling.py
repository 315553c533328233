"""Orders through the door of sync, each batch with its receipt; then some of it is deleted, as people do.

What an earlier run has deleted is left alone, so that another run changes nothing.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress

import orjson
from rest_framework.exceptions import NotFound
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import LEVELS, Component, Entity, Operation, Piece, Project
from sync.samples.orders import Order
from sync.schemas import Line
from sync.submission import Options, submit
from tenants.caller import Role
from tenants.models import Company, User

ORDERS, PER_ORDER = 5, 1000  # orders at least; pieces in one at most
EVERY_ORDER, EVERY_PIECE = 5, 250  # of which one is deleted

Root = tuple[type[Entity], str]  # of a deletion, with its guid


def orders(company: Company, *, seed: int, pieces: int) -> Iterator[Order]:
    """Orders of `pieces` pieces in all, one after the other."""
    count = max(ORDERS, -(-pieces // PER_ORDER))
    for number in range(count):
        share = pieces // count + (number < pieces % count)
        yield Order(company.guid, f"S{seed}-{number + 1:04}", share, (company.guid, seed, number), number)


def fill(order: Order, users: Mapping[Role, User]) -> Counter[str]:
    """Sends the order, and deletes what it deletes; counts its rows, and the deletions made.

    Within the company's scope. Raises ConflictRetry; Unprocessable if somebody has moved or taken what it needs.
    """
    roots = _to_delete(order)
    gone = {guid for _, guid in roots}
    counts: Counter[str] = Counter()
    for model in LEVELS:
        items = order.items[model.plural]
        columns = ("guid", "component_guid", "project_guid")
        below = [item["guid"] for item in items if not gone.isdisjoint(map(item.get, columns))]
        rows = model.all_objects.filter(guid__any_of=below)
        known = set(map(str, rows.values_list("guid", flat=True)))  # deleted, or about to be
        if wanted := [item for item in items if item["guid"] not in known]:
            lines = [Line(index, orjson.dumps(item)) for index, item in enumerate(wanted)]
            actor = users[Role.INTEGRATION].as_caller().actor
            origin = Origin(Operation.SYNC, actor, "seed_demo", run=uuid7())
            submit(model, lines, origin=origin, options=Options(strict=True))  # no level has more than a request may
        counts[model.plural] = len(items)
    for model, guid in roots:
        with suppress(NotFound):  # it has been deleted before
            origin = Origin(Operation.DELETE, users[Role.PROJECT_MANAGER].as_caller().actor, run=uuid7())
            delete_one(model, uuid.UUID(guid), origin=origin)
            counts["deletions"] += 1
    return counts


def _to_delete(order: Order) -> list[Root]:
    """An order of five as a whole; of any other a window from its middle, if it has several, and some pieces."""
    if order.number % EVERY_ORDER == EVERY_ORDER - 1:
        return [(Project, order.items["projects"][0]["guid"])]
    units = order.items["components"]
    window = units[len(units) // 2]["guid"] if len(units) > 1 else None
    some = order.items["pieces"][EVERY_PIECE - 1 :: EVERY_PIECE]
    pieces: list[Root] = [(Piece, item["guid"]) for item in some if item["component_guid"] != window]
    return [(Component, window), *pieces] if window else pieces
