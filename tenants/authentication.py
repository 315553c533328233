"""Proving who calls: an API key in either of two headers, or a JWT (contract, "Conventions"). A login by email and
password is a row that its pairs of tokens name, so it ends everywhere at once. It is bound to the same hash as Django's
sessions of the admin (`User._get_session_auth_hash`)."""

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.crypto import constant_time_compare
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from uuid_utils.compat import uuid7

from ractory.api.middleware import current_caller
from ractory.api.redaction import KEY_PREFIX
from ractory.api.retry import in_transaction
from tenants.caller import Caller
from tenants.models import ApiKey, LoginSession, User
from tenants.networks import Address, client_address
from tenants.scope import every_company

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


# A client that sends its refresh token twice, because two of its threads had the same idea or an answer was lost on
# the way, is no thief yet.
LENIENCE = timedelta(seconds=10)
ENDED = "The session has ended; log in again."


Tokens = dict[str, Any]  # a pair as it goes over the wire (TokensSerializer)


def begin(user: User) -> Tokens:
    """A login of this user, whose password has been checked. Raises 409 while a SQLite file stays locked."""
    guid, bound_to = uuid7(), user.get_session_auth_hash()
    tokens, latest = _new_pair(user, guid)
    in_transaction(lambda: LoginSession.objects.create(guid=guid, user=user, bound_to=bound_to, **latest))
    return tokens


@every_company()  # nobody knows yet whose token it is
def renew(text: str) -> Tokens:
    """A new pair for this refresh token, which is used up. Raises 401 as `user_of` does, and for a token that has been
    used: of several requests with one token, one gets the new pair. If a used token comes again later on, two parties
    have it, and the login is ended for both (RFC 9700, section 4.14.2)."""
    session, jti = _session_of(RefreshToken, text)
    tokens, latest = _new_pair(session.user, session.guid)
    unused = LoginSession.objects.filter(guid=session.guid, refresh_jti=jti)
    if not in_transaction(lambda: unused.update(**latest)):
        if session.refresh_jti != jti and latest["renewed_at"] - session.renewed_at > LENIENCE:
            session.delete()
            logger.warning("A used refresh token of user %s came again: the login is ended", session.user_guid)
        raise AuthenticationFailed("The refresh token has been used; log in again.")
    return tokens


@every_company()
def user_of(text: str) -> User:
    """The user whom this access token names. Raises 401 if it is not valid, if the user or the company is inactive, if
    the login has ended, or if the password, the role or the company of the user has been changed since it began."""
    user: User = _session_of(AccessToken, text)[0].user
    return user


def _session_of(kind: type[AccessToken] | type[RefreshToken], text: str) -> tuple[LoginSession, str]:
    """The login that this token names, and the token's `jti`."""
    try:
        claims = kind(text).payload  # type: ignore[arg-type]  # the stubs know tokens only
        guid = uuid.UUID(str(claims.get("sid")))
    except TokenError as error:
        raise AuthenticationFailed("The token is invalid or expired.") from error
    except ValueError as error:  # a token of before there were sessions
        raise AuthenticationFailed(ENDED) from error
    session = LoginSession.objects.select_related("user__company").filter(guid=guid).first()
    if session is None:
        raise AuthenticationFailed(ENDED)
    if not session.user.is_usable:
        raise AuthenticationFailed("The user is inactive.")
    if not constant_time_compare(session.bound_to, session.user.get_session_auth_hash()):
        raise AuthenticationFailed(ENDED)
    return session, str(claims["jti"])


def _new_pair(user: User, login: uuid.UUID) -> tuple[Tokens, dict[str, Any]]:
    """Tokens of this login, and the columns of its row that hold which refresh token is the latest."""
    refresh: RefreshToken = RefreshToken.for_user(user)
    refresh["sid"] = str(login)  # its access token takes it over
    latest = {"refresh_jti": refresh["jti"], "expires_at": datetime.fromtimestamp(refresh["exp"], UTC)}
    tokens: Tokens = {"access_token": str(refresh.access_token), "refresh_token": str(refresh), "role": user.role}
    tokens["expires_in"] = int(jwt_settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return tokens, {**latest, "renewed_at": timezone.now()}
