import secrets
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from django.core.management.base import CommandParser
from django.db import transaction
from rest_framework.exceptions import NotFound
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import LEVELS, LEVELS_BY_PLURAL, Component, Entity, Operation, Piece, Project
from sync.samples import fresh_key, guid, login, order, sample_company
from sync.schemas import Item, Line
from sync.submission import Options, submit
from tenants.caller import Role
from tenants.management.printing import PrintingCommand, taken, whole
from tenants.models import Company, User
from tenants.scope import company_scope

NAME, DOMAIN = "Sample Windows", "sample-windows.ractory.example"
ORDERS, PER_ORDER = 5, 1000  # orders at least; pieces in one at most


class Command(PrintingCommand):
    help = "Fills a made-up company with orders, users and a key, through the sync engine. Run again, it adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pieces", type=whole(1, 10_000_000), default=5000, metavar="N", help="5000 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        password, pieces = secrets.token_urlsafe(9), options["pieces"]
        with transaction.atomic():
            company = sample_company(NAME, guid("company", NAME))
            users = {role: login(role, password, company, f"{role.lower()}@{DOMAIN}") for role in Role}
            key = fresh_key(company, "seed_demo")
        counts: Counter[str] = Counter(dict.fromkeys((*LEVELS_BY_PLURAL, "deletions"), 0))
        with company_scope(company.guid):
            if stopped := taken(fill(company, users, pieces, counts), "rows", pieces):
                raise stopped
        emails = [user.email for user in users.values()]
        result = {"company_guid": company.guid, "name": NAME, **counts}
        result |= {"users": emails if options["json"] else ", ".join(emails), "password": password, "key": key}
        self.answer(options, result)


def fill(company: Company, users: Mapping[Role, User], pieces: int, counts: Counter[str]) -> Iterator[int]:
    """Sends orders of `pieces` pieces in all, a batch a level, and deletes some, as people do; after each order the
    number of its pieces. What is there already, deleted or not, is left alone. Raises ConflictRetry; Unprocessable if
    somebody has moved, deleted or taken what it needs."""
    count = max(ORDERS, -(-pieces // PER_ORDER))
    for number in range(count):
        items = order(company.guid, f"S-{number + 1:04}", pieces // count + (number < pieces % count), number)
        for model in LEVELS:
            sent = {uuid.UUID(item["guid"]): item for item in items[model.plural]}
            there = set(model.all_objects.filter(guid__any_of=list(sent)).values_list("guid", flat=True))
            if wanted := [item for guid, item in sent.items() if guid not in there]:
                lines = [Line(index, orjson.dumps(item)) for index, item in enumerate(wanted)]
                origin = Origin(Operation.SYNC, users[Role.INTEGRATION].as_caller().actor, "seed_demo", run=uuid7())
                submit(model, lines, origin=origin, options=Options(strict=True))  # no more than a request may have
            counts[model.plural] += len(sent)
        going: list[tuple[type[Entity], Item]] = [(Component, window) for window in items["components"][1:2]]
        going += [(Piece, piece) for piece in items["pieces"][:1]]
        for model, root in [(Project, items["projects"][0])] if number % 5 == 4 else going:
            origin = Origin(Operation.DELETE, users[Role.PROJECT_MANAGER].as_caller().actor, run=uuid7())
            with suppress(NotFound):  # it has been deleted before
                delete_one(model, uuid.UUID(root["guid"]), origin=origin)
                counts["deletions"] += 1
        yield len(items["pieces"])
