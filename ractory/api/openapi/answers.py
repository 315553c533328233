"""What all answers have in common: the headers, and one envelope for every error (contract, "Conventions")."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ractory.api.errors import MAX_LISTED, Unavailable
from ractory.api.openapi.operations import HEADER, RESPONSE, Answer, Json, Part


def header(name: str, description: str, schema: Json, *, always: bool = False) -> Part:
    return Part(name, {"description": description, "required": always, "schema": schema}, HEADER)


REQUEST_ID = header(
    "X-Request-ID",
    "The id that the request sent in a header of this name, if it is a sane one, else a new UUID.",
    {"type": "string", "pattern": "^[A-Za-z0-9._:/+=@-]{1,128}$"},
    always=True,
)
CHALLENGE = header("WWW-Authenticate", "The ways to authenticate.", {"type": "string"}, always=True)
RETRY_AFTER = header("Retry-After", "Seconds to wait, if a later try can succeed.", {"type": "integer", "minimum": 0})

ERROR = Part(
    "Error",
    {
        "type": "object",
        "description": "Every error but a 422.",
        "required": ["detail"],
        "properties": {"detail": {"type": "string"}},
    },
)
FAULT = Part(
    "Fault",
    {
        "type": "object",
        "description": "One thing that is wrong with a request.",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {
                "type": "array",
                "description": "Where, from `body` or `query` down; empty for a request that was refused as a whole.",
                "items": {"type": ["string", "integer"]},
            },
            "msg": {"type": "string", "description": "For a person; names the offending value."},
            "type": {"type": "string", "description": "For a program; a stable code."},
        },
    },
)
VALIDATION_ERROR = Part(
    "ValidationError",
    {
        "type": "object",
        "description": f"Every fault of the request, the first {MAX_LISTED}, then one entry that says how many more.",
        "required": ["detail"],
        "properties": {"detail": {"type": "array", "items": FAULT, "minItems": 1, "maxItems": MAX_LISTED + 1}},
    },
)


def _error(name: str, description: str, *headers: Part, example: str) -> tuple[str, Answer]:
    examples = {"error": {"detail": example}}
    return name, Answer(description=description, schema=ERROR, headers=(REQUEST_ID, *headers), examples=examples)


FAULT_EXAMPLE = {
    "loc": ["body", "pieces", 3, "project_guid"],
    "msg": "There is no project 123e4567-… in company abcdef12-…",
    "type": "parent_not_found",
}
_UNPROCESSABLE = Answer(
    description="A value is missing or wrong, or names what there is not. Nothing was written.",
    schema=VALIDATION_ERROR,
    headers=(REQUEST_ID,),
    examples={"faults": {"detail": [FAULT_EXAMPLE]}},
)

ERRORS: Mapping[int, tuple[str, Answer]] = {
    400: _error("BadRequest", "The request can't be understood.", example="The body is not JSON."),
    401: _error("Unauthorized", "No credentials, or wrong ones.", CHALLENGE, example="The token is invalid."),
    403: _error(
        "Forbidden",
        "The role, or the key's scopes, do not allow it; or a company is named that is not the caller's.",
        example="Your role or the key's scopes do not allow this.",
    ),
    404: _error("NotFound", "There is none, or none of the caller's.", example="There is no such piece."),
    409: _error(
        "Conflict", "It clashes with the present state.", RETRY_AFTER, example="Its project is deleted; restore it."
    ),
    413: _error("TooLarge", "The body, as sent or unpacked, is too large.", example="The body is larger than …"),
    415: _error(
        "UnsupportedMediaType",
        "The body is not `application/json` in UTF-8, or its coding is neither gzip nor none.",
        example='Unsupported content type "text/plain": send application/json in UTF-8.',
    ),
    422: ("Unprocessable", _UNPROCESSABLE),
    429: _error(
        "TooMany",
        "The limit on requests, on rows or on logins is used up. Nothing was written.",
        RETRY_AFTER,
        example="Too many requests of this API key or user: 6000 in 60 seconds are allowed. Expected available in 12 "
        "seconds.",
    ),
    503: _error("NoDatabase", "The database does not answer.", RETRY_AFTER, example=str(Unavailable.default_detail)),
}


def errors(*codes: int, prefix: str = "", headers: tuple[Part, ...] = ()) -> dict[int, Answer | Part]:
    """The answers of these codes, for an `Operation`; those with more headers need names of their own, by a prefix."""
    found: dict[int, Answer | Part] = {}
    for code in codes:
        name, answer = ERRORS[code]
        found[code] = Part(prefix + name, replace(answer, headers=(*answer.headers, *headers)), RESPONSE)
    return found


def success(
    description: str, schema: Json | Part | None, *headers: Part, examples: Mapping[str, Any] | None = None
) -> Answer:
    return Answer(description=description, schema=schema, headers=(REQUEST_ID, *headers), examples=examples or {})
