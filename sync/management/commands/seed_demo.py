import secrets
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from rest_framework.exceptions import NotFound
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import LEVELS, LEVELS_BY_PLURAL, Component, Entity, Operation, Piece, Project
from sync.samples.orders import Order, guid
from sync.samples.people import fresh_key, login
from sync.schemas import Line
from sync.submission import Options, submit
from tenants.caller import Role
from tenants.management.printing import PrintingCommand, taken, text, whole
from tenants.models import Company, User
from tenants.scope import company_scope

ORDERS, PER_ORDER = 5, 1000  # orders at least; pieces in one at most
EVERY_ORDER, EVERY_PIECE = 5, 250  # of which one is deleted


class Command(PrintingCommand):
    help = "Fills a made-up company with orders, users and a key, through the sync engine. Run again, it adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pieces", type=whole(1, 10_000_000), default=5000, metavar="N", help="5000 unless told")
        name = "Sample Windows"
        parser.add_argument("--company", type=text, default=name, metavar="NAME", help=f"its name: {name}")
        seed = "another one makes other orders"
        parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=1, metavar="S", help=seed)

    def handle(self, *args: Any, **options: Any) -> None:
        name, password = options["company"].strip(), secrets.token_urlsafe(9)
        if not 0 < len(name) <= 255:
            raise CommandError("a company's name has 1 to 255 characters")
        own = uuid.UUID(guid("company", name))
        if Company.objects.filter(name=name).exclude(guid=own).exists():
            raise CommandError(f"there is a company {name!r} already, and it is no sample: choose another name")
        with transaction.atomic():
            company, _ = Company.objects.get_or_create(guid=own, defaults={"name": name})
            users = {role: login(role, password, company) for role in Role}
            key = fresh_key(company, "seed_demo")
        counts: Counter[str] = Counter(dict.fromkeys((*LEVELS_BY_PLURAL, "deletions"), 0))
        made = orders(company, seed=options["seed"], pieces=options["pieces"])
        with company_scope(company.guid):
            if stopped := taken((fill(order, users, counts) for order in made), "rows", options["pieces"]):
                raise stopped
        emails = [user.email for user in users.values()]
        result = {"company_guid": company.guid, "name": company.name, **counts}
        result |= {"users": emails if options["json"] else ", ".join(emails), "password": password, "key": key}
        self.answer(options, result)


def orders(company: Company, *, seed: int, pieces: int) -> Iterator[Order]:
    """Orders of `pieces` pieces in all, one after the other."""
    count = max(ORDERS, -(-pieces // PER_ORDER))
    for number in range(count):
        share = pieces // count + (number < pieces % count)
        yield Order(company.guid, f"S{seed}-{number + 1:04}", share, (company.guid, seed, number), number)


def fill(order: Order, users: Mapping[Role, User], counts: Counter[str]) -> int:
    """Sends the order, a batch a level, and deletes some of it, as people do; adds its rows, and the deletions made, to
    the counts. The number of its pieces.

    What an earlier run has deleted is left alone, so that another run changes nothing. Raises ConflictRetry;
    Unprocessable if somebody has moved or taken what it needs.
    """
    roots = _to_delete(order)
    gone = {root for _, root in roots}
    for model in LEVELS:
        items = order.items[model.plural]
        columns = ("guid", "component_guid", "project_guid")
        below = [item["guid"] for item in items if not gone.isdisjoint(map(item.get, columns))]
        rows = model.all_objects.filter(guid__any_of=below)
        known = set(map(str, rows.values_list("guid", flat=True)))  # deleted, or about to be
        if wanted := [item for item in items if item["guid"] not in known]:
            lines = [Line(index, orjson.dumps(item)) for index, item in enumerate(wanted)]
            origin = Origin(Operation.SYNC, users[Role.INTEGRATION].as_caller().actor, "seed_demo", run=uuid7())
            submit(model, lines, origin=origin, options=Options(strict=True))  # no level has more than a request may
        counts[model.plural] += len(items)
    for model, root in roots:
        with suppress(NotFound):  # it has been deleted before
            origin = Origin(Operation.DELETE, users[Role.PROJECT_MANAGER].as_caller().actor, run=uuid7())
            delete_one(model, uuid.UUID(root), origin=origin)
            counts["deletions"] += 1
    return order.pieces


def _to_delete(order: Order) -> list[tuple[type[Entity], str]]:
    """An order of five as a whole; of any other a window from its middle, if it has several, and some pieces."""
    if order.number % EVERY_ORDER == EVERY_ORDER - 1:
        return [(Project, order.items["projects"][0]["guid"])]
    units = order.items["components"]
    window = units[len(units) // 2]["guid"] if len(units) > 1 else None
    some = order.items["pieces"][EVERY_PIECE - 1 :: EVERY_PIECE]
    pieces: list[tuple[type[Entity], str]] = [
        (Piece, item["guid"]) for item in some if item["component_guid"] != window
    ]
    return [(Component, window), *pieces] if window else pieces
