"""Permission classes: each asks for one capability of the contract's table "Who may do what"."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants.caller import Caller, Capability


class Nobody(BasePermission):
    """The default: an endpoint that forgot to say who may use it is closed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return False


class _MayDo(BasePermission):
    capability: Capability
    message = "Your role or the key's scopes do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Caller) and self.capability in request.user.capabilities


class MayRead(_MayDo):
    capability = Capability.READ


class MayDelete(_MayDo):
    capability = Capability.DELETE


class MaySync(_MayDo):
    capability = Capability.SYNC


class MayManage(_MayDo):
    capability = Capability.MANAGE


class MayManageCompanies(_MayDo):
    capability = Capability.MANAGE_COMPANIES
