"""Orders through the door of sync, each batch with its receipt; then some of it is deleted, as people do.

What an earlier run has deleted is left alone, so that another run changes nothing.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from rest_framework.exceptions import NotFound
from uuid_utils.compat import uuid7

from pieces.changes import Origin, delete_one
from pieces.models import LEVELS, Entity, Operation
from sync.samples.orders import Order
from sync.schemas import Item, Line, max_items
from sync.submission import Options, submit
from tenants.caller import Caller, Role
from tenants.models import Company, User

ORDERS, PER_ORDER = 5, 1000  # orders at least; pieces in one at most
EVERY_ORDER, EVERY_PIECE = 5, 250  # of which one is deleted


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
    gone = _Gone.of(order)
    sender, deleter = users[Role.INTEGRATION].as_caller(), users[Role.PROJECT_MANAGER].as_caller()
    for model in LEVELS:
        items = order.items[model.plural]
        known = gone.known(model)
        _send(model, [item for item in items if item["guid"] not in known], sender)
    counts = Counter({model.plural: len(order.items[model.plural]) for model in LEVELS})
    counts["deletions"] = sum(_delete(model, root, deleter) for model, root in gone.roots)
    return counts


@dataclass(slots=True)
class _Gone:
    """What of an order is deleted in the end: the roots, and all guids by level."""

    roots: list[tuple[type[Entity], str]]
    guids: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, order: Order) -> "_Gone":
        """An order of five as a whole; of any other a window from its middle, if it has several, and some pieces."""
        project, component, _, piece = LEVELS
        if order.number % EVERY_ORDER == EVERY_ORDER - 1:
            roots = [(project, order.items["projects"][0]["guid"])]
        else:
            units = order.items["components"]
            roots = [(component, units[len(units) // 2]["guid"])] if len(units) > 1 else []
            windows = {guid for _, guid in roots}
            some = order.items["pieces"][EVERY_PIECE - 1 :: EVERY_PIECE]
            roots += [(piece, item["guid"]) for item in some if item["component_guid"] not in windows]
        chosen = {guid for _, guid in roots}
        columns = ("guid", "component_guid", "project_guid")
        return cls(
            roots,
            {
                plural: {item["guid"] for item in items if not chosen.isdisjoint(map(item.get, columns))}
                for plural, items in order.items.items()
            },
        )

    def known(self, model: type[Entity]) -> set[str]:
        """Those of the level that are there already, deleted or about to be."""
        rows = model.all_objects.filter(guid__any_of=[uuid.UUID(guid) for guid in self.guids[model.plural]])
        return {str(guid) for guid in rows.values_list("guid", flat=True)}


def _send(model: type[Entity], items: Sequence[Item], caller: Caller) -> None:
    limit = max_items(model)
    for start in range(0, len(items), limit):
        lines = [Line(index, orjson.dumps(item)) for index, item in enumerate(items[start : start + limit])]
        origin = Origin(Operation.SYNC, caller.actor, "seed_demo", run=uuid7())
        submit(model, lines, origin=origin, options=Options(strict=True))


def _delete(model: type[Entity], guid: str, caller: Caller) -> bool:
    """False if it has been deleted before."""
    try:
        delete_one(model, uuid.UUID(guid), origin=Origin(Operation.DELETE, caller.actor))
    except NotFound:
        return False
    return True
