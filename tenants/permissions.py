"""Permission classes: each asks for one capability of the contract's table "Who may do what", within the tenant scope
that `tenants.views.TenantView` enters for the caller's company."""

from typing import Any

from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request

from tenants.caller import Caller, Capability

Nobody = ~AllowAny  # the default: an endpoint that forgot to say who may use it is closed


class _May(BasePermission):
    capability: Capability
    message = "Your role or the key's scopes do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Caller) and self.capability in request.user.capabilities


class MayRead(_May):
    capability = Capability.READ


class MayDelete(_May):
    capability = Capability.DELETE


class MaySync(_May):
    capability = Capability.SYNC


class MayManage(_May):
    capability = Capability.MANAGE


class MayManageCompanies(_May):
    capability = Capability.MANAGE_COMPANIES
