import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sync.archives import export
from sync.files.exporting import written
from sync.management.running import meter
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
        company, path, number = company_of(options["company"]), options["file"], 0
        if os.path.exists(path):
            raise CommandError(f"{path} is there already")
        try:
            with written(path) as file, meter(None) as show:
                for number in export(company.guid, file.write):
                    show(number, 0)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        self.answer(options, {"company_guid": company.guid, "rows": number, "file": path})
