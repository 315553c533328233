from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from pieces.admin.linking import names_by_guid, said
from pieces.models import Deletion, Kind
from tenants.management.commands._printing import PrintingCommand, guid, moment, scope_of

MOST = 10_000
FIELDS = (
    *("guid", "kind", "root_guid", "company_guid", "actor", "request_id", "created_at"),
    *("components", "assemblies", "pieces", "restored_at", "restored_by", "purged_at"),
)


def limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST):
        raise ArgumentTypeError(f"not a number from 1 to {MOST}: {text!r}")
    return int(text)


class Command(PrintingCommand):
    help = "Lists deletions, newest first: what was deleted, by whom, how much went with it, and whether it is back."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")
        parser.add_argument("--kind", choices=Kind.values, help="of this level only")
        parser.add_argument("--since", type=moment, metavar="DATE", help="ISO 8601; a bare date means 00:00 UTC")
        parser.add_argument("--limit", type=limit, default=50, metavar="N", help="50 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        with scope_of(options["company"]):
            found = self._found(options)
            names = names_by_guid((deletion.kind, deletion.root_guid) for deletion in found)
        rows = [
            {**{name: getattr(deletion, name) for name in FIELDS}, "name": names.get(deletion.root_guid)}
            for deletion in found[: options["limit"]]
        ]
        more = len(found) > options["limit"]
        if options["json"]:
            self.answer(options, {"deletions": rows, "more": more})
            return
        for row in rows:
            self.stdout.write(_line(row))
        if more or not rows:
            self.stdout.write("There are more: --limit." if more else "There are none.")

    @staticmethod
    def _found(options: dict[str, Any]) -> list[Deletion]:
        """One more than asked for, if there are so many."""
        conditions = {"kind": options["kind"], "created_at__gte": options["since"]}
        given = {name: value for name, value in conditions.items() if value is not None}
        return list(Deletion.objects.filter(**given).order_by("-guid")[: options["limit"] + 1])


def _line(row: dict[str, Any]) -> str:
    name = row["name"] or str(row["root_guid"])
    took = {plural: row[plural] for plural in ("components", "assemblies", "pieces")}
    parts = [
        f"{row['guid']}  {row['created_at']:%Y-%m-%d %H:%M} UTC  {row['kind']:9}",
        name if name.isprintable() else repr(name),
        *([f"with {said(took)}"] if any(took.values()) else []),
        f"by {row['actor']}",
    ]
    if row["restored_at"]:
        parts.append(f"restored {row['restored_at']:%Y-%m-%d %H:%M} UTC by {row['restored_by']}")
    elif row["purged_at"]:
        parts.append("being purged")
    return "  ".join(parts)
