from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.logins import forget_failures
from tenants.management.printing import PrintingCommand, text


class Command(PrintingCommand):
    help = "Forgets the logins counted for an account, failed or not: it can log in again, whoever tried its password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", type=text, metavar="EMAIL")

    def handle(self, *args: Any, **options: Any) -> None:
        if not forget_failures(options["email"]):
            raise CommandError(f"no login is counted for {options['email']}")
        self.answer(options, {"email": options["email"], "unlocked": True})
