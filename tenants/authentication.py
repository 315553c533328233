"""Proving who calls: an API key in either of two headers, or a JWT (contract, "Conventions")."""

import logging

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ractory.api.address import client_address
from ractory.api.middleware import current_caller
from tenants.caller import Caller
from tenants.models import ApiKey
from tenants.scope import every_company
from tenants.sessions import user_of

logger = logging.getLogger(__name__)

# The same for all: whoever tries a stolen key from elsewhere must not learn that it is a good one.
KEY_REFUSED = "The API key is unknown, expired, revoked, of an inactive company, or not for use from this address."
CHALLENGE = 'Bearer realm="ractory", ApiKey realm="ractory"'


class _Authentication(BaseAuthentication):
    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE

    @staticmethod
    def proven(caller: Caller) -> Caller:
        """The caller, whom the log's lines name from now on."""
        current_caller.set(caller)
        return caller


class ApiKeyAuthentication(_Authentication):
    """`X-API-Key: rfk_…` or `Authorization: ApiKey rfk_…`."""

    @every_company()  # nobody knows yet whose key it is
    def authenticate(self, request: Request) -> tuple[Caller, ApiKey] | None:
        text = self._text(request)
        if text is None:
            return None
        key, now = ApiKey.found(text), timezone.now()
        if key is None or not key.is_usable(now):
            raise AuthenticationFailed(KEY_REFUSED)
        address = client_address(request._request)
        if not key.admits(address):
            logger.warning("API key %s was used from %s, which is in none of its networks", key.guid, address)
            raise AuthenticationFailed(KEY_REFUSED)
        key.note_use(now)
        return self.proven(key.as_caller()), key

    @staticmethod
    def _text(request: Request) -> str | None:
        if "X-API-Key" in request.headers:
            return request.headers["X-API-Key"].strip()
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        return text.strip() if scheme.lower() == "apikey" else None


class JwtAuthentication(_Authentication):
    """`Authorization: Bearer <JWT>`, an access token of `/auth/login` or `/auth/refresh`."""

    def authenticate(self, request: Request) -> tuple[Caller, str] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self.proven(user_of(text.strip()).as_caller()), text
