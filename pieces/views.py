"""Reading and managing the four entities, `/api/v1/{projects,components,assemblies,pieces}`; sync writes them."""

import uuid
from contextlib import nullcontext
from typing import ClassVar

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from pieces import filters
from pieces.changes import Origin, delete_one, restore_one
from pieces.models import Assembly, Component, Entity, Operation, Piece, Project
from pieces.openapi import endpoints_of
from pieces.reading import check_parents, fields_of, read_one, read_page, visible
from ractory.api.errors import shown
from ractory.api.query import Query
from ractory.api.replica import may_lag
from ractory.api.timeouts import costly_read
from tenants.permissions import MayDelete, MayRead
from tenants.views import TenantView, caller_of


class EntityViewSet(ViewSetMixin, TenantView):
    """List, read, soft-delete and restore one entity; the subclasses name it (contract, "Reading and managing")."""

    model: ClassVar[type[Entity]]
    filterset_class: ClassVar[type[filters.EntityFilterSet]]
    lookup_field = "guid"
    lookup_value_converter = "str"  # a malformed guid is a 404 of ours, after 401 and 403

    def get_permissions(self) -> list[BasePermission]:
        return [MayDelete() if self.action in ("destroy", "restore") else MayRead()]

    def new_query(self, data: QueryDict) -> Query:
        if self.action == "list":
            self.filterset = self.filterset_class(data)
            return self.filterset.form
        return filters.ReadQuery(data, self.model) if self.action == "retrieve" else filters.EntityQuery(data)

    @may_lag
    def list(self, request: Request) -> Response:
        """A page of the rows that the filters leave, `Link` to the next page, `X-Total-Count` if asked for."""
        query: filters.ListQuery = self.query
        given, page, costly = query.checked(), query.page(), query.costly
        check_parents(given, include_inactive=given["include_inactive"])
        rows = self.filterset.filter_queryset(visible(self.model, include_inactive=given["include_inactive"]))
        headers = {}
        with costly_read(rows.db, caller_of(request).guid, costly) if costly else nullcontext():
            items, last = read_page(rows, page, given["fields"] or fields_of(self.model, full=given["detail"]))
            if page.count:
                headers["X-Total-Count"] = str(rows.count())
        if last is not None:
            headers["Link"] = page.next_link(request._request, last)
        return Response(items, headers=headers)

    @may_lag
    def retrieve(self, request: Request, guid: str) -> Response:
        given = self.query.checked()
        fields = given["fields"] or fields_of(self.model, full=True)
        return Response(read_one(self.model, self._guid(guid), fields, include_inactive=given["include_inactive"]))

    def destroy(self, request: Request, guid: str) -> Response:
        delete_one(self.model, self._guid(guid), origin=Origin(Operation.DELETE, caller_of(request).actor))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["post"])
    def restore(self, request: Request, guid: str) -> Response:
        restore_one(self.model, self._guid(guid), origin=Origin(Operation.RESTORE, caller_of(request).actor))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _guid(self, text: str) -> uuid.UUID:
        try:
            return uuid.UUID(text)
        except ValueError as error:
            raise NotFound(f"There is no {self.model.kind} {shown(text)}.") from error


@extend_schema_view(**endpoints_of(filters.ProjectFilterSet))
class ProjectViewSet(EntityViewSet):
    model = Project
    filterset_class = filters.ProjectFilterSet


@extend_schema_view(**endpoints_of(filters.ComponentFilterSet))
class ComponentViewSet(EntityViewSet):
    model = Component
    filterset_class = filters.ComponentFilterSet


@extend_schema_view(**endpoints_of(filters.AssemblyFilterSet))
class AssemblyViewSet(EntityViewSet):
    model = Assembly
    filterset_class = filters.AssemblyFilterSet


@extend_schema_view(**endpoints_of(filters.PieceFilterSet))
class PieceViewSet(EntityViewSet):
    model = Piece
    filterset_class = filters.PieceFilterSet
