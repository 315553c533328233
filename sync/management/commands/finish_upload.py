import time
from typing import Any

from django.core.management.base import CommandParser

from ractory import garbage_collection
from sync.files.importing import COUNTS
from sync.files.uploads import go_on
from sync.management.running import meter
from sync.models import Upload
from tenants.management.printing import PrintingCommand, guid, row_of


class Command(PrintingCommand):
    help = "Goes on with an upload of the page “Upload”, to its end or to where a person has to decide."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("guid", type=guid, metavar="GUID", help="as the upload's page says it")

    def handle(self, *args: Any, **options: Any) -> None:
        garbage_collection.tune()
        upload = row_of(Upload.objects.all(), options["guid"], "upload")
        with meter(0) as show:
            while upload.stage in Upload.WORKING:
                go_on(upload, time.monotonic() + 1)
                show(upload.rows, 0)
        counts = {name: getattr(upload, name) for name in COUNTS}
        self.answer(options, {"state": upload.state, "rows": upload.rows, **counts})
