"""Proving who calls: an API key in either of two headers, or a JWT (contract, "Conventions")."""

import logging
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ractory.api.address import Address, client_address
from ractory.api.middleware import current_caller
from ractory.api.redaction import KEY_PREFIX
from tenants.caller import Caller
from tenants.models import ApiKey
from tenants.scope import every_company
from tenants.sessions import user_of

logger = logging.getLogger(__name__)

# The same for all: whoever tries a stolen key from elsewhere must not learn that it is a good one.
KEY_REFUSED = "The API key is unknown, expired, revoked, of an inactive company, or not for use from this address."
CHALLENGE = 'Bearer realm="ractory", ApiKey realm="ractory"'


class CallerAuthentication(BaseAuthentication):
    """`X-API-Key: rfk_…`, else `Authorization: ApiKey rfk_…` or `Authorization: Bearer <access token>`."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if "X-API-Key" in request.headers:
            scheme, text = "ApiKey", request.headers["X-API-Key"]
        if scheme.lower() == "apikey":
            key = key_of(text.strip(), client_address(request._request))
            caller, tenant = key.as_caller(), key.company
        elif scheme.lower() == "bearer":
            user = user_of(text.strip())
            caller, tenant = user.as_caller(), user.tenant
        else:
            return None
        current_caller.set(caller)  # the log's lines name it from now on
        if tenant is not None:
            tenant.check_place(request._request)
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class CallerExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__
    """What the OpenAPI document says of it."""

    target_class = "tenants.authentication.CallerAuthentication"
    name = ["ApiKeyHeader", "ApiKeyAuthorization", "Bearer"]  # noqa: RUF012  # as the base class has it

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        key = {"type": "apiKey", "in": "header"}
        said = "An access token of `/api/v1/auth/login`."
        return [
            {**key, "name": "X-API-Key", "description": f"An API key: `{KEY_PREFIX}…`."},
            {**key, "name": "Authorization", "description": f"An API key after the scheme: `ApiKey {KEY_PREFIX}…`."},
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": said},
        ]


@every_company()  # nobody knows yet whose key it is
def key_of(text: str, address: Address | None) -> ApiKey:
    """The key with this text, whose use is noted. Raises 401 if it may not be used, or not from this address."""
    key, now = ApiKey.found(text), timezone.now()
    if key is None or not key.is_usable(now):
        raise AuthenticationFailed(KEY_REFUSED)
    if not key.admits(address):
        logger.warning("API key %s was used from %s, which is in none of its networks", key.guid, address)
        raise AuthenticationFailed(KEY_REFUSED)
    key.note_use(now)
    return key
