import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.changes import Acts, restore_root
from pieces.models import LEVELS, Operation
from ractory.api.retry import in_transaction
from tenants.management.printing import PrintingCommand, guid


class Command(PrintingCommand):
    help = "Brings back what was deleted: an entity with all that its deletion took, by the rules of the API."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("guid", type=guid, metavar="GUID", help="of the entity, or of the deletion")

    def handle(self, *args: Any, **options: Any) -> None:
        self.answer(options, in_transaction(lambda: _restore(options["guid"])))


def _restore(given: uuid.UUID) -> dict[str, Any]:
    """Restores it; what came back, counted by level."""
    for model in LEVELS:  # from the top: what a deletion took is below its root
        wanted = model.all_objects.filter(Q(guid=given) | Q(deletion_guid=given)).order_by("guid")
        if row := wanted.select_for_update(no_key=True).first():  # so that it is this deletion that is undone
            break
    else:
        raise CommandError(f"there is neither an entity {given} nor a deletion {given} that is not restored")
    acts = Acts(Origin(Operation.RESTORE, "command:restore", run=uuid7()))
    restore_root(model, row.guid, acts=acts)
    acts.save_receipt(model)
    about = {"guid": row.guid, "kind": row.kind.value, "company_guid": row.company_guid}
    back = {level.plural: level.objects.filter(changed_in=acts.of(row.company_guid)).count() for level in LEVELS}
    return about | {"deletion_guid": row.deletion_guid} | back
