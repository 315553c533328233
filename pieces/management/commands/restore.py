import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rest_framework.exceptions import APIException

from pieces.changes import Acts, Origin, restore_root
from pieces.models import LEVELS, LEVELS_BY_KIND, Deletion, Entity, Operation
from ractory.api.retry import in_transaction
from tenants.management.commands._printing import PrintingCommand, guid


class Command(PrintingCommand):
    help = "Brings back what was deleted: an entity with all that its deletion took, by the rules of the API."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("guid", type=guid, metavar="GUID", help="of the entity, or of the deletion")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = in_transaction(lambda: _restore(options["guid"]))
        except APIException as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        self.answer(options, result)


def _restore(given: uuid.UUID) -> dict[str, Any]:
    """Restores it; what came back, counted by level."""
    row = _root_of(given)
    model, deletion = type(row), row.deletion_guid
    counts = {level.plural: 0 for level in LEVELS}
    for level in (model, *model.below()):
        taken = level.all_objects.in_any_of(model.kind, [row.guid]).filter(deletion_guid=deletion)
        counts[level.plural] = taken.count()
    restore_root(model, row.guid, acts=Acts(Origin(Operation.RESTORE, "command:restore")))
    common = {"guid": row.guid, "kind": model.kind.value, "company_guid": row.company_guid}
    return {**common, "deletion_guid": deletion, **counts}


def _root_of(given: uuid.UUID) -> Entity:
    """The entity of this guid, or the one that the deletion of this guid was of; locked, so that what is counted next
    is what comes back."""
    deletion = Deletion.objects.filter(guid=given).first()
    if deletion is not None:
        return _still_deleted(deletion)
    for model in LEVELS:
        row: Entity | None = model.all_objects.select_for_update(no_key=True).filter(guid=given).first()
        if row is not None:
            return row
    raise CommandError(f"there is neither an entity nor a deletion {given}")


def _still_deleted(deletion: Deletion) -> Entity:
    if deletion.restored_at is not None:
        when = f"{deletion.restored_at:%Y-%m-%d %H:%M} UTC"
        raise CommandError(f"the deletion {deletion.guid} was restored {when} by {deletion.restored_by}")
    model = LEVELS_BY_KIND[deletion.kind]
    rows = model.all_objects.select_for_update(no_key=True)
    root: Entity | None = rows.filter(guid=deletion.root_guid, deletion=deletion).first()
    if root is None:
        raise CommandError(f"the {deletion.kind} {deletion.root_guid} is not deleted by {deletion.guid} any more")
    return root
