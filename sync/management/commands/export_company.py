import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from sync.archives import export
from sync.management.running import written
from tenants.management.printing import PrintingCommand, company_of, guid, text


class Command(PrintingCommand):
    help = (
        "Writes all of a company to an archive that import_company takes: rows with their history, deleted ones too, "
        "receipts, users and keys. It holds digests of keys and hashes of passwords: keep it as a backup."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("company", type=guid, metavar="GUID")
        parser.add_argument("file", type=text, metavar="FILE", help="gzip if it ends in .gz")

    def handle(self, *args: Any, **options: Any) -> None:
        company, path = company_of(options["company"]), options["file"]
        if os.path.exists(path):
            raise CommandError(f"{path} is there already")
        with written(path) as file:
            number = sum(1 for _ in tqdm(export(company.guid, file.write), unit=" rows", disable=None, leave=False))
        self.answer(options, {"company_guid": company.guid, "rows": number, "file": path})
