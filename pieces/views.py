"""Reading and managing the four entities, `/api/v1/{projects,components,assemblies,pieces}`; sync writes them."""

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar, cast

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin
from uuid_utils.compat import uuid7

from pieces import filters
from pieces.acts import Origin
from pieces.changes import delete_one, restore_one
from pieces.history import read_at, read_history
from pieces.models import Entity, Operation
from pieces.openapi import endpoints_of
from pieces.reading import check_parents, fields_of, read_one, read_page, visible
from pieces.receipts import Receipt
from ractory.api.errors import Unprocessable
from ractory.api.query import Query, guid_in_path
from ractory.api.replica import may_lag
from ractory.api.timeouts import costly_read
from tenants.caller import Caller
from tenants.permissions import MayDelete, MayRead
from tenants.views import TenantView, caller_of

WITHOUT_RECEIPT = (401, 403, 429)  # refusals that no limit bounds: their receipts would fill the table


class ReceiptView(TenantView):
    """An endpoint whose requests have receipts; refused ones too, but those that anyone could get without end."""

    model: ClassVar[type[Entity]]
    operation: ClassVar[Operation | None] = None  # of a POST, if it has a receipt
    receipt: Receipt | None = None  # as far as it is known; None for a caller whom nobody knows, too

    def operation_of(self, request: Request) -> Operation | None:
        """What the request wants to do; None for one that only reads."""
        return self.operation if request.method == "POST" else None

    def known(self, **more: Any) -> Receipt:
        """The receipt of a request that writes, with what is known of it by now."""
        receipt = self.receipt = replace(cast(Receipt, self.receipt), **more)
        return receipt

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        operation = self.operation_of(request)
        if operation and isinstance(request.user, Caller):
            origin = Origin(operation, request.user.actor, run=uuid7())
            self.receipt = Receipt(model=self.model, origin=origin, company=request.user.company, received=1)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if self.receipt and response.status_code not in WITHOUT_RECEIPT:
            fault = {"loc": [], "msg": response.data["detail"], "type": "refused", "count": 1}
            refused = self.known(http_status=response.status_code, faults=[fault], kinds=[fault], fault_count=1)
            if isinstance(exc, Unprocessable):
                refused = self.known(ignored=exc.ignored, **exc.records())
            if refused.save_apart():
                response.headers["X-Sync-Run"] = str(refused.origin.run)
        return response


class EntityViewSet(ViewSetMixin, ReceiptView):
    """List, read, soft-delete and restore one entity (contract, "Reading and managing")."""

    filterset_class: ClassVar[type[filters.EntityFilterSet]]
    query_class = filters.EntityQuery

    def get_permissions(self) -> list[BasePermission]:
        return [MayDelete() if self.action in ("destroy", "restore") else MayRead()]

    def new_query(self, data: QueryDict) -> Query:
        if self.action == "list":
            self.filterset = self.filterset_class(data)
            return self.filterset.form
        return filters.ReadQuery(data, self.model) if self.action == "retrieve" else super().new_query(data)

    def operation_of(self, request: Request) -> Operation | None:
        return {"destroy": Operation.DELETE, "restore": Operation.RESTORE}.get(self.action or "")

    @may_lag
    def list(self, request: Request) -> Response:
        """A page of the rows that the filters leave, `Link` to the next page, `X-Total-Count` if asked for."""
        query: filters.ListQuery = self.query
        given, page, costly = query.checked(), query.page(), query.costly
        check_parents(given, include_inactive=given["include_inactive"])
        rows = self.filterset.filter_queryset(visible(self.model, include_inactive=given["include_inactive"]))
        with costly_read(rows.db, caller_of(request).guid, costly) if costly else nullcontext():
            items, last = read_page(rows, page, given["fields"] or fields_of(self.model, full=given["detail"]))
            headers = page.headers(request, last, rows)
        return Response(items, headers=headers)

    @may_lag
    def retrieve(self, request: Request, guid: str) -> Response:
        """The object as it is, or as it was `at` a moment."""
        given, found = self.query.checked(), self._guid(guid)
        fields = given["fields"] or fields_of(self.model, full=True)
        inactive = given["include_inactive"]
        if moment := given["at"]:
            return Response(read_at(self.model, found, moment, fields, include_inactive=inactive))
        return Response(read_one(self.model, found, fields, include_inactive=inactive))

    @action(detail=True, query_class=filters.HistoryQuery)
    @may_lag
    def history(self, request: Request, guid: str) -> Response:
        page = self.query.page()
        entries, last = read_history(self.model, self._guid(guid), page)
        return Response(entries, headers=page.headers(request, last))

    def destroy(self, request: Request, guid: str) -> Response:
        return self._written(delete_one, guid)

    @action(detail=True, methods=["post"])
    def restore(self, request: Request, guid: str) -> Response:
        return self._written(restore_one, guid)

    def _written(self, write: Callable[..., None], guid: str) -> Response:
        origin = self.known().origin
        write(self.model, self._guid(guid), origin=origin)
        return Response(status=status.HTTP_204_NO_CONTENT, headers={"X-Sync-Run": str(origin.run)})

    def _guid(self, text: str) -> uuid.UUID:
        return guid_in_path(text, self.model.kind.value)


def viewset_of(filterset: type[filters.EntityFilterSet]) -> type[EntityViewSet]:
    """The endpoints of the entity that the filter set is of, with what the OpenAPI document says of them."""
    attributes = {"model": filterset.model, "filterset_class": filterset}
    viewset = type(f"{filterset.model.__name__}ViewSet", (EntityViewSet,), attributes)
    return extend_schema_view(**endpoints_of(filterset.model))(viewset)


ProjectViewSet = viewset_of(filters.ProjectFilterSet)
ComponentViewSet = viewset_of(filters.ComponentFilterSet)
AssemblyViewSet = viewset_of(filters.AssemblyFilterSet)
PieceViewSet = viewset_of(filters.PieceFilterSet)
