"""Complete sets, `/api/v1/sync/snapshots` (contract, "Complete sets")."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from pieces.models import LEVELS_BY_PLURAL, Operation, Piece
from pieces.openapi import GONE, RUN_HEADER
from pieces.views import ReceiptView
from ractory.api.body import read_fields
from ractory.api.openapi import COUNT, ERROR, TEXT, an_object, answer, body, named
from ractory.api.query import GUID, Flag, Query, guid_in_path
from sync import snapshots
from sync.models import Snapshot
from sync.openapi import ENTITY, GUID_OR_NULL, PROJECT
from sync.snapshots import AT_LEAST, DEFAULT_MAX, LIFE, PERCENT, SCOPE
from tenants.permissions import MaySync
from tenants.scope import current_scope
from tenants.views import caller_of

CEILING = {"anyOf": [COUNT, {"type": "string", "pattern": f"^{PERCENT.pattern}$"}]}
ASKED = f"How many rows may go at most: a number, or a share. By default {DEFAULT_MAX}, but at least {AT_LEAST} rows."


@extend_schema_field({**CEILING, "description": ASKED})
class CeilingField(serializers.Field[Any, Any, Any, Any]):
    """How many rows may go: a number, or a percentage as "10%"; as text."""

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, int) and not isinstance(data, bool) and 0 <= data < 2**31:
            return str(data)
        if isinstance(data, str) and PERCENT.fullmatch(data):
            return data
        raise serializers.ValidationError('Input should be a number of rows or a percentage, as "10%"', "max_deleted")


# Unknown fields and parents that are null are refused: a set that was meant to be of one project would be of the whole
# company, and a ceiling would not hold.
class SnapshotCompleteSerializer(serializers.Serializer[Any]):
    max_deleted = CeilingField(required=False)


class SnapshotOpenSerializer(SnapshotCompleteSerializer):
    entity = serializers.ChoiceField(list(LEVELS_BY_PLURAL))
    company_guid = serializers.UUIDField(required=False)
    project_guid = serializers.UUIDField(required=False)
    component_guid = serializers.UUIDField(required=False)
    assembly_guid = serializers.UUIDField(required=False)


def as_wire(snapshot: Snapshot) -> dict[str, Any]:
    names = ("guid", "entity", "company_guid", *SCOPE, "opened_at", "run_guid")
    return {name: getattr(snapshot, name) for name in names} | {
        "expires_at": snapshot.opened_at + LIFE,
        "status": "completed" if snapshot.run_guid else "open",
        "max_deleted": int(most) if (most := snapshot.max_deleted).isdecimal() else most or DEFAULT_MAX,
        "seen": snapshot.seen if snapshot.run_guid else snapshots.count_seen(snapshot.guid),
        "deleted": snapshot.deleted,
    }


MOMENT = {"type": "string", "format": "date-time"}
SHOWN = (
    {"guid": GUID, "entity": ENTITY, "company_guid": GUID, **dict.fromkeys(SCOPE, GUID_OR_NULL), "opened_at": MOMENT}
    | {"expires_at": MOMENT, "status": {"type": "string", "enum": ["open", "completed"]}, "max_deleted": CEILING}
    | {"seen": COUNT, "deleted": {**COUNT, "type": ["integer", "null"]}, "run_guid": GUID_OR_NULL}
)
DONE = {"seen": COUNT, "deleted": COUNT, "run_guid": GUID, "dry_run": {"type": "boolean", "const": True}}
REFUSED = {"detail": TEXT, "would_delete": COUNT, "max_deleted": COUNT}
SNAPSHOT = named("Snapshot", an_object(SHOWN))
COMPLETED = named("SnapshotCompleted", an_object(DONE, "dry_run"))
TOO_MANY = named("TooManyDeleted", an_object(REFUSED, "would_delete", "max_deleted"))


class CompleteQuery(Query):
    """The options of completing one."""

    dry_run = Flag(help_text="What would go; nothing is written.")


class SnapshotViewSet(ViewSetMixin, ReceiptView):
    """Opening one, where it stands, giving it up; and deleting what the set has not, which has a receipt."""

    permission_classes = (MaySync,)
    model = Piece  # what the receipt says, as long as nobody knows what the set is of

    @extend_schema(
        operation_id="open_snapshot",
        summary="Open a complete set",
        description=(
            "Of all rows of one entity in a project, a component or an assembly, or in the company. Send them with "
            "`?snapshot=`, then complete it: what was there when it was opened and was not sent, is soft-deleted."
        ),
        request=body(SnapshotOpenSerializer, {"of a project": {"entity": "pieces", "project_guid": PROJECT}}),
        responses={201: answer("It is open.", SNAPSHOT)},
    )
    def create(self, request: Request) -> Response:
        asked, caller = read_fields(request, SnapshotOpenSerializer, strict=True), caller_of(request)
        model, scope = LEVELS_BY_PLURAL[asked["entity"]], current_scope()
        named_company = asked.get("company_guid")
        if named_company and not scope.covers(named_company):
            raise PermissionDenied(f"Company {named_company} is not yours.")
        within = {column: asked[column] for column in SCOPE if column in asked}
        company, most = named_company or scope.company, asked.get("max_deleted", "")
        snapshot = snapshots.open_snapshot(model, within, company=company, max_deleted=most, actor=caller.actor)
        return Response(as_wire(snapshot), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="get_snapshot",
        summary="Get a complete set",
        responses={200: answer("Where it stands.", SNAPSHOT), 410: answer(GONE, ERROR)},
    )
    def retrieve(self, request: Request, guid: str) -> Response:
        return Response(as_wire(snapshots.open_one(guid_in_path(guid, "snapshot"))))

    @extend_schema(
        operation_id="give_up_snapshot",
        summary="Give a complete set up",
        description="What was sent stays as it is; nothing is deleted.",
        responses={204: answer("It is gone."), 410: answer(GONE, ERROR)},
    )
    def destroy(self, request: Request, guid: str) -> Response:
        snapshots.give_up(guid_in_path(guid, "snapshot"))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="complete_snapshot",
        summary="Complete a set",
        description=(
            "The rows of the set that were there when it was opened and were not sent are soft-deleted, with what is "
            "below them, as one deletion. The second time the first answer comes again."
        ),
        parameters=[RUN_HEADER],
        request=SnapshotCompleteSerializer,
        responses={
            200: answer("What went.", COMPLETED),
            409: answer("More would go than may. Nothing was done.", TOO_MANY),
            410: answer(GONE, ERROR),
        },
    )
    @action(detail=True, methods=["post"], query_class=CompleteQuery, operation=Operation.COMPLETE)
    def complete(self, request: Request, guid: str) -> Response:
        most = read_fields(request, SnapshotCompleteSerializer, strict=True).get("max_deleted", "")
        dry_run = self.query.checked()["dry_run"]
        snapshot = snapshots.open_one(guid_in_path(guid, "snapshot"))
        about = {"model": LEVELS_BY_PLURAL[snapshot.entity], "company": snapshot.company_guid, "dry_run": dry_run}
        origin = self.known(received=0, **about).origin
        done = snapshots.complete(snapshot.guid, origin=origin, max_deleted=most, dry_run=dry_run)
        said = {name: getattr(done, name) for name in ("seen", "deleted", "run_guid")}
        return Response(said | ({"dry_run": True} if dry_run else {}), headers={"X-Sync-Run": str(done.run_guid)})
