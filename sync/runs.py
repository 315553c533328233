"""The receipts of what was done, `GET /api/v1/sync/runs`; what a run did, and its undo (contract, "Sync", "Undo")."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import IntegerField, UUIDField
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from pieces.history import read_acts
from pieces.models import LEVELS, Operation, Piece
from pieces.openapi import GONE, HISTORY_ENTRY, RUN_HEADER
from pieces.reading import read_within
from pieces.receipts import RunStatus, SyncRun
from pieces.views import ReceiptView
from ractory.api.openapi import COUNT, ERROR, TEXT, an_object, answer, array_of, named
from ractory.api.paging import MAX_PAGE_BYTES, CursorQuery, Key, PageQuery
from ractory.api.query import GUID, Choice, Flag, Moment, Query, Text, guid_in_path
from sync.openapi import ENTITY, GUID_OR_NULL, RECEIPT
from sync.undo import acts_of_run, entity_of, undo
from tenants.permissions import MayRead, MaySync
from tenants.scope import current_scope

CHANGE = named("RunChange", an_object({"entity": ENTITY, "guid": GUID, **HISTORY_ENTRY}))
COUNTS = {"changed": COUNT, "deleted": COUNT, "restored": COUNT, "skipped": COUNT}
UNDONE = named(
    "Undone",
    an_object({"run_guid": GUID, **COUNTS, "dry_run": {"type": "boolean", "const": True}}, "skipped", "dry_run"),
)
CONFLICT = an_object({"entity": ENTITY, "guid": GUID, "run_guid": GUID_OR_NULL})
CONFLICTS = named("UndoConflicts", an_object({"detail": TEXT, "conflicts": array_of(CONFLICT)}, "conflicts"))
IN_CONFLICT = "Rows have been written since (the first 100 are named), or it has been undone already. Nothing was done."


class RunsQuery(PageQuery):
    """What the list of receipts can be asked for; newest first, always."""

    order = (Key("guid", SyncRun._meta.get_field("guid"), descending=True),)

    entity = Choice([model.plural for model in LEVELS])
    operation = Choice(Operation.values)
    status = Choice(RunStatus.values)
    idempotency_key = Text()
    request_id = Text()
    since = Moment(help_text="Only those that began at or after this moment; UTC unless it says otherwise.")


class RunChangesQuery(CursorQuery):
    """The parameters of what a run did: from the top level down, by guid."""

    order = (
        Key("level", IntegerField(validators=[MinValueValidator(0), MaxValueValidator(len(LEVELS))])),
        Key("guid", UUIDField()),
    )


class UndoQuery(Query):
    """The options of an undo."""

    dry_run = Flag(help_text="The full answer, and nothing is written.")
    conflicts = Choice(["skip"], help_text="Leaves rows that somebody has written since as they are.")


class RunViewSet(ViewSetMixin, ReceiptView):
    """The receipts of the company, newest first; what a run did, and taking it back."""

    permission_classes = (MayRead,)
    list_query = RunsQuery
    model = Piece  # what the receipt of an undo says, as long as nobody knows what the run was about

    @extend_schema(
        operation_id="list_sync_runs",
        summary="List receipts",
        description=(
            "The sync requests of the company, newest first, refused ones too. A page of long receipts may end before "
            "`limit`, with a `Link`."
        ),
        responses={200: answer("The receipts.", array_of(RECEIPT))},
    )
    def list(self, request: Request) -> Response:
        given, page = self.query.checked(), self.query.page()
        wanted = {name: given[name] for name in ("entity", "operation", "status", "idempotency_key", "request_id")}
        wanted["started_at__gte"] = given["since"]
        rows = SyncRun.objects.filter(**{lookup: value for lookup, value in wanted.items() if value})
        columns = [field.attname for field in SyncRun._meta.concrete_fields]
        runs, more = read_within(page.of(rows), columns, page.limit, MAX_PAGE_BYTES)
        headers = page.headers(request, [runs[-1]["guid"]] if more else None, rows)
        return Response([SyncRun(**run).as_wire() for run in runs], headers=headers)

    @extend_schema(
        operation_id="get_sync_run",
        summary="Get one receipt",
        description="What became of the request with this `X-Sync-Run`, also for a client that lost the answer.",
        responses={200: answer("The receipt.", RECEIPT)},
    )
    def retrieve(self, request: Request, guid: str) -> Response:
        run = SyncRun.objects.filter(guid=guid_in_path(guid, "run")).first()
        if run is None:
            raise NotFound(f"There is no run {guid}.")
        return Response(run.as_wire())

    @extend_schema(
        operation_id="list_run_changes",
        summary="List what a run did",
        description=(
            "Row by row, from projects down: those that it wrote and those that a deletion, a restore or a move took "
            "along. A page of long ones may end before `limit`, with a `Link`."
        ),
        responses={200: answer("What it did.", array_of(CHANGE)), 410: answer(GONE, ERROR)},
    )
    @action(detail=True, query_class=RunChangesQuery)
    def changes(self, request: Request, guid: str) -> Response:
        page, run = self.query.page(), guid_in_path(guid, "run")
        changes, last = read_acts(acts_of_run(run), page)
        return Response(changes, headers=page.headers(request, last))

    @extend_schema(
        operation_id="undo_run",
        summary="Undo a run",
        description=(
            "What it wrote is put back, all of it or nothing: changed rows to what they were, inserted ones are "
            "soft-deleted, deleted ones restored, moved ones moved back. The undo is a run of its own."
        ),
        parameters=[RUN_HEADER],
        request=None,
        responses={200: answer("It is undone.", UNDONE), 409: answer(IN_CONFLICT, CONFLICTS), 410: answer(GONE, ERROR)},
    )
    @action(
        detail=True,
        methods=["post"],
        permission_classes=(MaySync,),
        query_class=UndoQuery,
        checks_query=False,  # its faults come after its receipt is begun
        operation=Operation.UNDO,
    )
    def undo(self, request: Request, guid: str) -> Response:
        run, dry_run = guid_in_path(guid, "run"), bool(self.query.cleaned_data.get("dry_run"))
        origin = self.known(received=0, model=entity_of(run), company=current_scope().company, dry_run=dry_run).origin
        skip = self.query.checked()["conflicts"] == "skip"
        undone = undo(run, origin=origin, dry_run=dry_run, skip=skip)._asdict()
        if not skip:
            del undone["skipped"]
        said = {"run_guid": origin.run, **undone} | ({"dry_run": True} if dry_run else {})
        return Response(said, headers={"X-Sync-Run": str(origin.run)})
