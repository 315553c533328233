from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.caller import scopes_in
from tenants.management.printing import KEEP_KEY, PrintingCommand, argument, company_of, future, guid, text
from tenants.models import ApiKey
from tenants.networks import networks_in


class Command(PrintingCommand):
    help = "Creates an API key for a company and shows it, the only time that it can be seen."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", type=guid, metavar="GUID", required=True)
        parser.add_argument("--scopes", type=argument(scopes_in), required=True, help="sync:read,sync:write")
        parser.add_argument("--description", type=text, default="")
        parser.add_argument("--expires", type=future, metavar="DATE", help="ISO 8601; a bare date means 00:00 UTC")
        help = "where it may be used from, CIDR: 192.0.2.0/24,2001:db8::/32; anywhere otherwise"
        parser.add_argument("--networks", type=argument(networks_in), default="", metavar="LIST", help=help)

    def handle(self, *args: Any, **options: Any) -> None:
        if len(options["description"]) > 255:
            raise CommandError("a key's description has at most 255 characters")
        fields = {"description": options["description"], "expires_at": options["expires"]}
        fields["networks"] = " ".join(map(str, options["networks"]))
        key, text = ApiKey.issue(company=company_of(options["company"]), scopes=options["scopes"], **fields)
        result = {"guid": key.guid, "key": text, "scopes": key.scopes, "company_guid": key.company_guid}
        self.answer(options, result, KEEP_KEY)
