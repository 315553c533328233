"""Managing companies, users and keys: `/api/v1/{companies,users,api-keys}` (contract, "Managing"). A request is one
transaction, with the record of what it did, which staff see as *History*."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.pagination import BasePagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from ractory.api.body import SMALL, read_json_object
from ractory.api.errors import Conflict
from ractory.api.openapi import an_object
from ractory.api.paging import Page, PageQuery
from ractory.api.redaction import redacted
from ractory.api.retry import transactional
from tenants import serializers
from tenants.logins import Attempt
from tenants.models import ApiKey, Company, User
from tenants.permissions import MayManage, MayManageCompanies
from tenants.scope import Scope, every_company, of_company, within
from tenants.views import TenantView, caller_of


def record(user: uuid.UUID, obj: Any, action: int, message: Any) -> None:
    """Writes down, in the transaction of the change, what was done to a company, a user or a key: Django's LogEntry, of
    the company that it was done to. `action` is its ADDITION or CHANGE; `message`, to a person, what it was, or what
    one of Django's forms says that has changed. Raises 503 while the company is being moved."""
    company = obj.guid if isinstance(obj, Company) else obj.company_guid
    with within(Scope(company)):
        if company is not None:
            Company.require_open(company)
        LogEntry.objects.log_actions(user, [obj], action, message, single_object=True)


class ListPagination(BasePagination):
    """DRF's way to the page of a view whose `query` is a PageQuery: an array, and the `Link` to the next page."""

    envelope = ""  # the key of an object that the array is in, for old clients

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        page: Page = view.query.page()
        rows = list(page.of(queryset))
        last = rows[page.limit - 1] if len(rows) > page.limit else None
        self.headers = page.headers(request, last and [getattr(last, key.name) for key in page.keys], queryset)
        return rows[: page.limit]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({self.envelope: data} if self.envelope else data, headers=self.headers)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        return an_object({self.envelope: schema}) if self.envelope else schema


class KeyPagination(ListPagination):
    envelope = "api_keys"


class ManagedViewSet(TenantView, ModelViewSet[Any]):
    """What the three have in common. PUT is PATCH: what is left out stays as it is."""

    permission_classes = (MayManage,)
    list_query = PageQuery
    pagination_class = ListPagination

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # DRF's own parsing knows no bounds, and takes a chunked body for an empty one.
        has_body = request.method in ("POST", "PUT", "PATCH")
        data: Any = read_json_object(request._request, limit=SMALL) if has_body else {}
        setattr(request, "_full_data", data)  # noqa: B010  # it is not in the stubs

    def get_queryset(self) -> Any:
        rows = of_company(super().get_queryset())  # the first wall: the managers of these models are not scoped
        writes = self.action in ("update", "partial_update", "destroy", "rotate")
        return rows.select_for_update(of=("self",), no_key=True) if writes else rows

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        partial = {"partial": True} if self.action in ("update", "partial_update") else {}
        return super().get_serializer(*args, **kwargs | partial)

    create = transactional(ModelViewSet.create)
    update = transactional(ModelViewSet.update)
    destroy = transactional(ModelViewSet.destroy)

    def perform_create(self, serializer: Any) -> None:
        self.record(serializer.save(), ADDITION, "Created by the API.")

    def perform_update(self, serializer: Any) -> None:
        row: Any = serializer.instance
        given = serializer.validated_data.items()
        changes = {name: f": {getattr(row, name)} → {value}" for name, value in given if getattr(row, name) != value}
        was_active = row.is_active
        serializer.save()
        if was_active and not row.is_active:
            row.switch_off()
        if changes:
            if "password" in changes:
                changes["password"] = ""  # it is not told
            self.record(row, CHANGE, "Changed by the API: " + "; ".join(map("".join, changes.items())))

    def perform_destroy(self, instance: Any) -> None:
        if instance.is_active:
            instance.switch_off()
            self.record(instance, CHANGE, "Switched off by the API.")

    def record(self, row: Any, action: int, said: str) -> None:
        record(caller_of(self.request).guid, row, action, redacted(said))


class CompanyViewSet(ManagedViewSet):
    queryset = Company.objects.all()
    serializer_class = serializers.CompanySerializer

    def get_permissions(self) -> list[BasePermission]:
        return [MayManage() if self.action in ("list", "retrieve", "metadata") else MayManageCompanies()]

    def perform_create(self, serializer: Any) -> None:
        with every_company():  # a new one is in no scope yet
            super().perform_create(serializer)


class UserViewSet(ManagedViewSet):
    queryset = User.objects.select_related("company")
    serializer_class = serializers.UserSerializer

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(User.visible_to(caller_of(self.request)))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """A password costs a hash, as a login does, so it is within the limits on the caller's logins."""
        super().initial(request, *args, **kwargs)
        if "password" in request.data:
            Attempt(request._request, caller_of(request).email, may_fail=False)

    @extend_schema(responses={200: serializers.UserSerializer})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        super().destroy(request)
        self.action = "retrieve"  # which locks nothing
        return self.retrieve(request)

    def perform_destroy(self, instance: User) -> None:
        instance.check_change(caller_of(self.request), role=instance.role, is_active=False)
        super().perform_destroy(instance)


class ApiKeyViewSet(ManagedViewSet):
    queryset = ApiKey.objects.select_related("company")
    pagination_class = KeyPagination

    def get_serializer_class(self) -> type[serializers.ApiKeySerializer]:
        return serializers.IssuedKeySerializer if self.action in ("create", "rotate") else serializers.ApiKeySerializer

    def perform_destroy(self, instance: ApiKey) -> None:
        if not instance.revoked_at:
            instance.revoke(timezone.now())
            self.record(instance, CHANGE, "Revoked by the API.")

    @extend_schema(request=serializers.RotateSerializer, responses={201: serializers.IssuedKeySerializer})
    @action(detail=True, methods=["post"])
    @transactional
    def rotate(self, request: Request, guid: str) -> Response:
        """A new key like this one, which ends after the overlap, if not before."""
        given = serializers.RotateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        overlap = timedelta(hours=given.validated_data["overlap_hours"])
        key, now = self.get_object(), timezone.now()
        if not key.is_usable(now):
            raise Conflict("The key is revoked, switched off, expired or of an inactive company.")
        caller_of(request).check_grant(*key.scopes.split())
        new: Any
        new, new.text = key.rotate(overlap=overlap, expires_at=key.lifetime, now=now)
        self.record(key, CHANGE, f"Rotated by the API: {new.guid} takes its place.")
        self.record(new, ADDITION, f"Created by the API in place of {key.guid}.")
        return Response(self.get_serializer(new).data, status=status.HTTP_201_CREATED)
