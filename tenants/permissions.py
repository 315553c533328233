"""Permission classes: each asks for one capability of the contract's table "Who may do what"."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants.caller import Caller, Capability

if TYPE_CHECKING:  # DRF's views import this module by name, from the settings
    from rest_framework.views import APIView


class Nobody(BasePermission):
    """The default: an endpoint that forgot to say who may use it is closed."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return False


class _MayDo(BasePermission):
    capability: Capability
    message = "Your role or the key's scopes do not allow this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, Caller) and request.user.may(self.capability)


class MayRead(_MayDo):
    capability = Capability.READ


class MayDelete(_MayDo):
    capability = Capability.DELETE


class MaySync(_MayDo):
    capability = Capability.SYNC
