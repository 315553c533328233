import secrets
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from tqdm import tqdm

from pieces.models import LEVELS
from ractory.api.errors import ConflictRetry, Unprocessable
from sync.samples.filling import fill, orders
from sync.samples.people import company_called, fresh_key, login
from tenants.caller import Role
from tenants.management.printing import PrintingCommand, exit_code, text, whole
from tenants.scope import company_scope


class Command(PrintingCommand):
    help = "Fills a made-up company with orders, users and a key, through the sync engine. Run again, it adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pieces", type=whole(1, 10_000_000), default=5000, metavar="N", help="5000 unless told")
        name = "Sample Windows"
        parser.add_argument("--company", type=text, default=name, metavar="NAME", help=f"its name: {name}")
        seed = "another one makes other orders"
        parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=1, metavar="S", help=seed)

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(9)
        with transaction.atomic():
            try:
                company = company_called(options["company"].strip())
                users = {role: login(role, password, company) for role in Role}
            except ValueError as error:
                raise CommandError(str(error)) from error
            key = fresh_key(company, "seed_demo")
        counts: Counter[str] = Counter(dict.fromkeys((*(level.plural for level in LEVELS), "deletions"), 0))
        try:
            with company_scope(company.guid), tqdm(total=options["pieces"], leave=False, disable=None) as bar:
                for order in orders(company, seed=options["seed"], pieces=options["pieces"]):
                    counts.update(fill(order, users))
                    bar.update(order.pieces)
        except KeyboardInterrupt as stop:
            raise CommandError("stopped; run it again to go on", returncode=exit_code(stop)) from stop
        except ConflictRetry as error:
            raise CommandError("the rows are busy; run it again to go on") from error
        except Unprocessable as error:  # somebody has changed what it made
            raise CommandError(str(error.faults[0]["msg"])) from error
        emails = [user.email for user in users.values()]
        result = {"company_guid": company.guid, "name": company.name, **counts}
        result |= {"users": emails if options["json"] else ", ".join(emails), "password": password, "key": key}
        self.answer(options, result)
