"""The receipts of what was sent, `GET /api/v1/sync/runs` (contract, "Sync")."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import QueryDict
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from pieces.models import LEVELS
from pieces.openapi import LINK, TOTAL
from ractory.api.errors import shown
from ractory.api.openapi.schemas import answer, array_of, path_guid, query_parameters
from ractory.api.paging import MAX_PAGE_BYTES, Key, PageQuery, fitting
from ractory.api.query import Choice, Moment, Query, Text
from sync.models import RunStatus, SyncRun
from sync.openapi import receipt_schema
from tenants.permissions import MayRead
from tenants.views import TenantView

RECEIPT = receipt_schema()


class RunsQuery(PageQuery):
    """What the list of receipts can be asked for; newest first, always."""

    entity = Choice([model.plural for model in LEVELS])
    status = Choice(RunStatus.values)
    idempotency_key = Text()
    request_id = Text()
    since = Moment(help_text="Only those that began at or after this moment; UTC unless it says otherwise.")

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["ordering"] = (Key("guid", SyncRun._meta.get_field("guid"), descending=True),)
        return super().clean()


class RunsView(TenantView):
    """The receipts of the company, newest first; a page ends where it would be too large."""

    permission_classes = (MayRead,)
    query_class = RunsQuery

    @extend_schema(
        operation_id="list_sync_runs",
        summary="List receipts",
        description=(
            "The sync requests of the company, newest first, refused ones too. A page of long receipts may end before "
            "`limit`, with a `Link`."
        ),
        parameters=[*query_parameters(RunsQuery(QueryDict())), LINK, TOTAL],
        responses={200: answer("The receipts.", array_of(RECEIPT))},
    )
    def get(self, request: Request) -> Response:
        given, page = self.query.checked(), self.query.page()
        wanted = {name: given[name] for name in ("entity", "status", "idempotency_key", "request_id")}
        wanted["started_at__gte"] = given["since"]
        rows = SyncRun.objects.filter(**{lookup: value for lookup, value in wanted.items() if value})
        listed = page.of(rows)
        sizes = list(listed.values_list(SyncRun.BYTES, flat=True))
        fits = fitting(sizes[: page.limit], most=MAX_PAGE_BYTES)
        runs = list(listed[:fits])
        headers = {"X-Total-Count": str(rows.count())} if page.count else {}
        if len(sizes) > fits:
            headers["Link"] = page.next_link(request._request, [runs[-1].guid])
        return Response([run.as_wire() for run in runs], headers=headers)


class RunView(TenantView):
    """The receipt of one request, also for a client that lost the answer."""

    permission_classes = (MayRead,)

    @extend_schema(
        operation_id="get_sync_run",
        summary="Get one receipt",
        description="What became of one sync request, also for a client that lost the answer.",
        parameters=[path_guid("From the header `X-Sync-Run`."), *query_parameters(Query(QueryDict()))],
        responses={200: answer("The receipt.", RECEIPT)},
    )
    def get(self, request: Request, guid: str) -> Response:
        try:
            run = SyncRun.objects.get(guid=guid)
        except (SyncRun.DoesNotExist, ValidationError) as error:  # ValidationError: it is no UUID
            raise NotFound(f"There is no sync run {shown(guid)}.") from error
        return Response(run.as_wire())
