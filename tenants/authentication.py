"""Proving who calls: an API key in either of two headers, or a JWT (contract, "Conventions")."""

import logging

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ractory.api.address import Address, client_address
from ractory.api.middleware import current_caller
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
