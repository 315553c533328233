from typing import Any

from django.core.management.base import CommandParser

from pieces.models import Deletion, Kind
from pieces.names import counts_in_words, found_by_guid, name_of, with_others
from tenants.management.printing import PrintingCommand, guid, moment, scope_of, whole

TOOK = ("components", "assemblies", "pieces")
FIELDS = (
    *("guid", "kind", "root_guid", "company_guid", "actor", "request_id", "created_at"),
    *("roots", *TOOK, "restored_at", "restored_by", "purged_at"),
)


class Command(PrintingCommand):
    help = "Lists deletions, newest first: what was deleted, by whom, how much went with it, and whether it is back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")
        parser.add_argument("--kind", choices=Kind.values, help="of this level only")
        parser.add_argument("--since", type=moment, metavar="DATE", help="ISO 8601; a bare date means 00:00 UTC")
        parser.add_argument("--limit", type=whole(1, 10_000), default=50, metavar="N", help="50 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        conditions = {"kind": options["kind"], "created_at__gte": options["since"]}
        given = {name: value for name, value in conditions.items() if value is not None}
        limit = options["limit"]
        with scope_of(options["company"]):
            found = list(Deletion.objects.filter(**given).order_by("-guid").values(*FIELDS)[: limit + 1])
            roots = found_by_guid((row["kind"], row["root_guid"]) for row in found)
        names = {guid: name_of(root) for guid, root in roots.items()}
        rows = [{**row, "name": names.get(row["root_guid"])} for row in found[:limit]]
        more = len(found) > limit
        if options["json"]:
            self.answer(options, {"deletions": rows, "more": more})
            return
        lines = [*map(_line, rows), *(["There are more: --limit."] if more else [])]
        self.stdout.write("\n".join(lines or ["There are none."]))


def _line(row: dict[str, Any]) -> str:
    name = with_others(row["name"] or str(row["root_guid"]), row["roots"])
    parts = [
        f"{row['guid']}  {row['created_at']:%Y-%m-%d %H:%M} UTC  {row['kind']:9}",
        name if name.isprintable() else repr(name),
    ]
    took = {plural: row[plural] for plural in TOOK}
    if any(took.values()):
        parts.append(f"with {counts_in_words(took)}")
    parts.append(f"by {row['actor']}")
    if row["restored_at"]:
        parts.append(f"restored {row['restored_at']:%Y-%m-%d %H:%M} UTC by {row['restored_by']}")
    elif row["purged_at"]:
        parts.append("being purged")
    return "  ".join(parts)
