"""How authentication and the endpoints of `/api/v1/auth` describe themselves."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from ractory.api.openapi.answers import errors, success
from ractory.api.openapi.operations import ApiSchema, Body, Json, Operation, Part
from ractory.api.openapi.query import NO_NUL
from ractory.api.redaction import KEY_PREFIX
from tenants.caller import KeyScope, Role

GUID: Json = {"type": "string", "format": "uuid"}
ROLE: Json = {"type": "string", "enum": Role.values}
# What is left after spaces around it have been cut off must not be empty.
NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"


class ApiKeyExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__
    """One key, in either of two headers."""

    target_class = "tenants.authentication.ApiKeyAuthentication"
    name = ["ApiKeyHeader", "ApiKeyAuthorization"]  # noqa: RUF012  # as the base class has it

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[Json]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Json]:
        key = {"type": "apiKey", "in": "header"}
        return [
            {**key, "name": "X-API-Key", "description": f"An API key: `{KEY_PREFIX}…`."},
            {**key, "name": "Authorization", "description": f"An API key after the scheme: `ApiKey {KEY_PREFIX}…`."},
        ]


class JwtExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__
    target_class = "tenants.authentication.JwtAuthentication"
    name = "Bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> Json:
        said = "An access token of `/api/v1/auth/login`."
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": said}


CREDENTIALS = Part(
    "Credentials",
    {
        "type": "object",
        "required": ["email", "password"],
        "properties": {
            "email": {"type": "string", "maxLength": 254, "pattern": NOT_BLANK},
            "password": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": NO_NUL, "format": "password"},
        },
    },
)
REFRESH = Part(
    "Refresh",
    {
        "type": "object",
        "required": ["refresh_token"],
        "properties": {"refresh_token": {"type": "string", "maxLength": 4096, "pattern": NOT_BLANK}},
    },
)
TOKENS = Part(
    "Tokens",
    {
        "type": "object",
        "required": ["access_token", "refresh_token", "role", "expires_in"],
        "properties": {
            "access_token": {"type": "string"},
            "refresh_token": {"type": "string"},
            "role": ROLE,
            "expires_in": {"type": "integer", "description": "Seconds that the access token is good for."},
        },
    },
)
ME = Part(
    "Me",
    {
        "type": "object",
        "required": ["guid", "email", "role", "company_guid", "auth_type"],
        "properties": {
            "guid": GUID,
            "email": {"type": ["string", "null"], "description": "null for a key."},
            "role": ROLE,
            "company_guid": {**GUID, "type": ["string", "null"], "description": "null for a SystemAdmin."},
            "auth_type": {"type": "string", "enum": ["jwt", "api_key"]},
            "scopes": {"type": "string", "description": "Of a key, separated by spaces."},
        },
    },
)
TOKENS_EXAMPLE = {"access_token": "eyJ…", "refresh_token": "eyJ…", "role": Role.INTEGRATION, "expires_in": 900}
ME_EXAMPLE = {
    "guid": "0199d5a0-2b6c-7c1e-8a3f-5d1f2e3a4b5c",
    "email": None,
    "role": Role.INTEGRATION,
    "company_guid": "abcdef12-3456-7890-abcd-ef1234567890",
    "auth_type": "api_key",
    "scopes": " ".join(sorted(KeyScope.values)),
}


class LoginSchema(ApiSchema):
    def describe(self) -> Operation:
        example = {"email": "anna@example.com", "password": "correct horse battery staple"}
        return Operation(
            id="login",
            tag="auth",
            summary="Log in",
            description="Email and password for a pair of tokens.",
            body=Body(description="JSON, plain or gzip.", schema=CREDENTIALS, examples={"person": example}),
            answers={
                200: success("The tokens.", TOKENS, examples={"integration": TOKENS_EXAMPLE}),
                **errors(400, 401, 409, 413, 415, 422, 429, 503),
            },
        )


class RefreshSchema(ApiSchema):
    def describe(self) -> Operation:
        body = Body(description="JSON, plain or gzip.", schema=REFRESH, examples={"token": {"refresh_token": "eyJ…"}})
        return Operation(
            id="refresh",
            tag="auth",
            summary="Get new tokens",
            description="A refresh token, which is used up, for a new pair. If it comes again later, the login ends.",
            body=body,
            answers={
                200: success("The tokens.", TOKENS, examples={"integration": TOKENS_EXAMPLE}),
                **errors(400, 401, 409, 413, 415, 422, 429, 503),
            },
        )


class MeSchema(ApiSchema):
    def describe(self) -> Operation:
        return Operation(
            id="me",
            tag="auth",
            summary="Who am I?",
            description="Whose credentials these are.",
            answers={200: success("The caller.", ME, examples={"key": ME_EXAMPLE}), **errors(401, 429, 503)},
        )
