import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pieces.filters import HistoryQuery
from pieces.history import read_history
from pieces.models import LEVELS
from ractory.api.paging import Page
from ractory.api.rendering import to_json
from tenants.management.printing import PrintingCommand, guid, whole


class Command(PrintingCommand):
    help = "Shows who changed an entity, when, and what, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("guid", type=guid, metavar="GUID", help="of a project, component, assembly or piece")
        parser.add_argument("--limit", type=whole(1, 1000), default=50, metavar="N", help="50 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = options["guid"]
        level = next((level for level in LEVELS if level.all_objects.filter(guid=asked).exists()), None)
        if level is None:
            raise CommandError(f"there is no entity {asked}")
        page = Page(HistoryQuery.order, options["limit"], offset=0, count=False, after=None)
        entries, more = read_history(level, asked, page)
        if options["json"]:
            result = {"entity": level.plural, "guid": asked, "history": entries, "more": more is not None}
            self.stdout.write(to_json(result).decode())
            return
        for entry in entries:
            who, run = entry["actor"] or "by hand", entry["run_guid"] or "-"
            self.stdout.write(f"{entry['at']:%Y-%m-%d %H:%M:%S} UTC  {entry['action']:8}  {who}  run {run}")
            for name, pair in entry["changes"].items():
                told = ["-" if value is None else json.dumps(value, default=str, ensure_ascii=False) for value in pair]
                self.stdout.write(f"    {name}: {' -> '.join(told)}")
        if more is not None:
            self.stdout.write("There is more: see --limit.")
