"""What the OpenAPI document says of authentication, and of the endpoints of `/api/v1/auth`."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema

from ractory.api.openapi.schemas import TEXT, an_object, answer, body, named
from ractory.api.query import GUID, NO_NUL, Json
from ractory.api.redaction import KEY_PREFIX
from tenants.caller import KeyScope, Role

ROLE: Json = {"type": "string", "enum": Role.values}
# What is left after spaces around it have been cut off must not be empty.
NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"


class CallerExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__
    target_class = "tenants.authentication.CallerAuthentication"
    name = ["ApiKeyHeader", "ApiKeyAuthorization", "Bearer"]  # noqa: RUF012  # as the base class has it

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[Json]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Json]:
        key = {"type": "apiKey", "in": "header"}
        said = "An access token of `/api/v1/auth/login`."
        return [
            {**key, "name": "X-API-Key", "description": f"An API key: `{KEY_PREFIX}…`."},
            {**key, "name": "Authorization", "description": f"An API key after the scheme: `ApiKey {KEY_PREFIX}…`."},
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": said},
        ]


PASSWORD = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": NO_NUL, "format": "password"}
CREDENTIALS = an_object({"email": {**TEXT, "maxLength": 254, "pattern": NOT_BLANK}, "password": PASSWORD})
REFRESH = an_object({"refresh_token": {**TEXT, "maxLength": 4096, "pattern": NOT_BLANK}})
EXPIRES_IN = {"type": "integer", "description": "Seconds that the access token is good for."}
TOKENS = an_object({"access_token": TEXT, "refresh_token": TEXT, "role": ROLE, "expires_in": EXPIRES_IN})
ME = an_object(
    {
        "guid": GUID,
        "email": {"type": ["string", "null"], "description": "null for a key."},
        "role": ROLE,
        "company_guid": {**GUID, "type": ["string", "null"], "description": "null for a SystemAdmin."},
        "auth_type": {"type": "string", "enum": ["jwt", "api_key"]},
        "scopes": {"type": "string", "description": "Of a key, separated by spaces."},
    },
    "scopes",
)
ME_EXAMPLE = {
    "guid": "0199d5a0-2b6c-7c1e-8a3f-5d1f2e3a4b5c",
    "email": None,
    "role": Role.INTEGRATION,
    "company_guid": "abcdef12-3456-7890-abcd-ef1234567890",
    "auth_type": "api_key",
    "scopes": " ".join(sorted(KeyScope.values)),
}
PAIR_EXAMPLE = {"access_token": "eyJ…", "refresh_token": "eyJ…", "role": Role.INTEGRATION, "expires_in": 900}
NEW_PAIR = answer("The tokens.", named("Tokens", TOKENS), {"integration": PAIR_EXAMPLE})
PERSON = {"email": "anna@example.com", "password": "correct horse battery staple"}

login = extend_schema(
    operation_id="login",
    summary="Log in",
    description="Email and password for a pair of tokens.",
    request=body(named("Credentials", CREDENTIALS), {"person": PERSON}),
    responses={200: NEW_PAIR},
)
refresh = extend_schema(
    operation_id="refresh",
    summary="Get new tokens",
    description="A refresh token, which is used up, for a new pair. If it comes again later, the login ends.",
    request=body(named("Refresh", REFRESH), {"token": {"refresh_token": "eyJ…"}}),
    responses={200: NEW_PAIR},
)
me = extend_schema(
    operation_id="me",
    summary="Who am I?",
    description="Whose credentials these are.",
    responses={200: answer("The caller.", named("Me", ME), {"key": ME_EXAMPLE})},
)
