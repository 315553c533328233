import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.changes import Acts, restore_root
from pieces.models import LEVELS, LEVELS_BY_KIND, Deletion, Entity, Operation
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
    row = _locked_root(given)
    acts = Acts(Origin(Operation.RESTORE, "command:restore", run=uuid7()))
    restore_root(type(row), row.guid, acts=acts)
    acts.save_receipt(type(row))
    about = {"guid": row.guid, "kind": row.kind.value, "company_guid": row.company_guid}
    back = {level.plural: level.objects.filter(changed_in=acts.of(row.company_guid)).count() for level in LEVELS}
    return about | {"deletion_guid": row.deletion_guid} | back


def _locked_root(given: uuid.UUID) -> Entity:
    """The entity, or the root of the deletion, of this guid: locked, so that it is this deletion that is undone."""
    deletion = Deletion.objects.filter(guid=given).first()
    if deletion and deletion.restored_at:
        when = f"{deletion.restored_at:%Y-%m-%d %H:%M} UTC"
        raise CommandError(f"the deletion {given} was restored {when} by {deletion.restored_by}")
    wanted = {"deletion": deletion} if deletion else {"guid": given}
    for model in [LEVELS_BY_KIND[deletion.kind]] if deletion else LEVELS:
        row: Entity | None = model.all_objects.select_for_update(no_key=True).filter(**wanted).order_by("guid").first()
        if row is not None:
            return row
    if deletion:
        raise CommandError(f"the {deletion.kind} {deletion.root_guid} is not deleted by {given} any more")
    raise CommandError(f"there is neither an entity nor a deletion {given}")
