"""Permission classes: each asks for one capability of the contract's table "Who may do what"."""

from typing import Any

from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request

from tenants.caller import Caller, Capability

Nobody = ~AllowAny  # the default: an endpoint that forgot to say who may use it is closed


class _MayDo(BasePermission):
    capability: Capability
    message = "Your role or the key's scopes do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Caller) and self.capability in request.user.capabilities


def _may(capability: Capability) -> type[_MayDo]:
    return type("May", (_MayDo,), {"capability": capability})


MayRead, MayDelete, MaySync = _may(Capability.READ), _may(Capability.DELETE), _may(Capability.SYNC)
MayManage, MayManageCompanies = _may(Capability.MANAGE), _may(Capability.MANAGE_COMPANIES)
