from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from pieces.models import Deletion
from pieces.names import found_by_guid, name_of, with_others
from tenants.management.printing import ListingCommand, whole

MORE = (
    *("components", "assemblies", "pieces", "root_guid", "company_guid", "actor", "created_at"),
    *("restored_at", "restored_by", "purged_at"),
)


class Command(ListingCommand):
    help = "Lists deletions, newest first: what was deleted, how much went with it, by whom, and whether it is back."
    name = "deletions"
    rows: QuerySet[Deletion] = QuerySet(Deletion).order_by("-guid")

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--limit", type=whole(1, 10_000), default=50, metavar="N", help="50 unless told")

    def listed(self, rows: Iterable[Deletion]) -> Iterable[dict[str, Any]]:
        deletions = list(rows)
        roots = found_by_guid((deletion.kind, deletion.root_guid) for deletion in deletions)
        for deletion in deletions:
            root = roots.get(deletion.root_guid)
            name = with_others(name_of(root), deletion.roots) if root else str(deletion.root_guid)
            what = {"guid": deletion.guid, "kind": deletion.kind, "name": name}
            yield what | {field: getattr(deletion, field) for field in MORE}
