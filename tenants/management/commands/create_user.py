import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.caller import Role
from tenants.management.printing import WRONG_USE, PrintingCommand, company_of, guid, text
from tenants.models import User


class Command(PrintingCommand):
    help = "Creates a user. Without --password it is asked for on a terminal; elsewhere the user can't log in yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", type=text, metavar="EMAIL")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--company", type=guid, metavar="GUID", help="required, except for a SystemAdmin")
        given = parser.add_mutually_exclusive_group()
        given.add_argument("--password", type=text, help="stays in the shell's history; better:")
        given.add_argument("--password-stdin", action="store_true", help="the first line of standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        company = company_of(options["company"]) if options["company"] else None
        if company and options["role"] == Role.SYSTEM_ADMIN:
            raise CommandError("a SystemAdmin is of no company", returncode=WRONG_USE)
        password = options["password"]
        if options["password_stdin"]:
            password = sys.stdin.readline().rstrip("\r\n")
            if not (password and password.isprintable()):
                raise CommandError("there is no password on standard input", returncode=WRONG_USE)
        elif password is None and sys.stdin.isatty():
            password = getpass("Password: ")
        user = User.objects.create_user(options["email"], password, role=options["role"], company=company)
        result = {"guid": user.guid, "email": user.email, "role": user.role, "company_guid": user.company_guid}
        hint = f"No password is set: `manage.py changepassword {user.email}` sets one."
        self.answer(options, result, *([] if password else [hint]))
