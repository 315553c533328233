import sys
from getpass import getpass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from tenants.caller import Role
from tenants.management.printing import PrintingCommand, company_of, guid, text
from tenants.models import User


class Command(PrintingCommand):
    help = "Creates a user. Without --password it is asked for on a terminal; elsewhere the user can't log in yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", type=text, metavar="EMAIL")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--company", type=guid, metavar="GUID", help="required, except for a SystemAdmin")
        parser.add_argument("--password", type=text)

    def handle(self, *args: Any, **options: Any) -> None:
        company = company_of(options["company"]) if options["company"] else None
        password = options["password"]
        if password is None and sys.stdin.isatty():
            password = getpass("Password: ")
        try:
            user = User.objects.create_user(options["email"], password, role=options["role"], company=company)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        result = {"guid": user.guid, "email": user.email, "role": user.role, "company_guid": user.company_guid}
        hint = f"No password is set: `manage.py changepassword {user.email}` sets one."
        self.answer(options, result, *([] if password else [hint]))
