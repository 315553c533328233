"""The words in which the OpenAPI document is written: schemas, parameters, answers; and the errors that all operations
share, each with one envelope (contract, "Conventions")."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse
from rest_framework.generics import GenericAPIView

from ractory.api.errors import MAX_LISTED
from ractory.api.query import GUID, Json

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
NAMED: dict[str, Json] = {}  # the document's schemas by name (`complete` puts them in)


class DescribedSchema(AutoSchema):
    """drf-spectacular's with the parameters of a view's query, as its fields describe themselves, and the headers that
    come of them. It guesses what is a list for generic views only: our schemas say so themselves."""

    def get_override_parameters(self) -> list[Any]:
        if not hasattr(self.view, "new_query"):
            return []
        fields = self.view.new_query(QueryDict()).fields
        parameters = [
            OpenApiParameter(
                name,
                field.schema,
                description=field.help_text or f"Only rows with this `{name}`.",
                explode=False if field.schema.get("type") == "array" else None,  # with commas between the words
            )
            for name, field in fields.items()
        ]
        if "{guid}" in self.path:
            parameters.append(OpenApiParameter("guid", GUID, OpenApiParameter.PATH))
        return parameters + [header for name, header in PAGING.items() if name in fields]

    def _is_list_view(self, serializer: Any = None) -> bool:
        return isinstance(self.view, GenericAPIView) and bool(super()._is_list_view(serializer))


def named(name: str, schema: Json) -> Json:
    """A reference to this schema, which the document shows once under this name."""
    NAMED[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


def an_object(properties: Json, *optional: str, **more: Any) -> Json:
    """The schema of an object with these properties, all of them required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, **more}


def array_of(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def body(schema: Any, examples: Mapping[str, Json]) -> OpenApiRequest:
    """What a request must carry, with examples by name; a schema, or a serializer that has it."""
    return OpenApiRequest(schema, examples=[OpenApiExample(*example) for example in examples.items()])


def answer(description: str, schema: Any = None, examples: Mapping[str, Json] | None = None) -> OpenApiResponse:
    """With this schema, or a serializer that has it, and examples by name."""
    shown = [OpenApiExample(*example) for example in (examples or {}).items()]
    return OpenApiResponse(schema, description=description, examples=shown)


def header(name: str, description: str, schema: Json, *codes: int, always: bool = False) -> OpenApiParameter:
    """A header of the answers with these codes; without codes, of the request."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, required=always, response=list(codes) or False
    )


PAGING = {
    "cursor": header("Link", 'The next page, `<…>; rel="next"`, while there is more (RFC 8288).', TEXT, 200),
    "count": header("X-Total-Count", "With `count=true`: the rows on all pages.", COUNT, 200),
}

ERROR = named("Error", an_object({"detail": TEXT}, description="Every error but a 422."))
WHERE = "Where, from `body` or `query` down; empty for a request that was refused as a whole."
PLACE = array_of({"type": ["string", "integer"]}, description=WHERE, examples=[["body", "pieces", 3, "project_guid"]])
PARTS = {
    "loc": PLACE,
    "msg": {**TEXT, "description": "For a person; names the offending value."},
    "type": {**TEXT, "description": "For a program; a stable code.", "examples": ["parent_not_found"]},
}
FAULT = named("Fault", an_object(PARTS, description="One thing that is wrong with a request."))
LISTED = f"Every fault of the request, the first {MAX_LISTED}, then one entry that says how many more."
FAULTS = {"detail": array_of(FAULT, minItems=1, maxItems=MAX_LISTED + 1)}
VALIDATION_ERROR = named("ValidationError", an_object(FAULTS, description=LISTED))
ERRORS = {  # by code: the answer's name in the document, and when it comes
    400: ("BadRequest", "The request can't be understood."),
    401: ("Unauthorized", "No credentials, or wrong ones."),
    403: ("Forbidden", "The role or the key's scopes do not allow it, or the company is not the caller's."),
    404: ("NotFound", "There is none, or none of the caller's."),
    409: ("Conflict", "It clashes with the present state."),
    410: ("Gone", "The cursor can't be continued: rows have been purged, or the database is another one."),
    413: ("TooLarge", "The body, as sent or unpacked, is too large."),
    415: ("UnsupportedMediaType", "The body is not `application/json` in UTF-8, or its coding is unknown."),
    422: ("Unprocessable", "A value is missing or wrong, or names what there is not. Nothing was written."),
    429: ("TooMany", "The limit on requests, on rows or on logins is used up. Nothing was written."),
    503: ("NoDatabase", "The database does not answer."),
}
WITHOUT_RECEIPT = (401, 403, 429, 503)

RECEIPT = "X-Sync-Run"
SENT_ID = "The id that the request sent in a header of this name, if it is a sane one, else a new UUID."
SANE_ID = {"type": "string", "pattern": "^[A-Za-z0-9._:/+=@-]{1,128}$"}
REQUEST_ID = {"X-Request-ID": {"description": SENT_ID, "required": True, "schema": SANE_ID}}
WAIT = {"Retry-After": {"description": "Seconds to wait, if a later try can succeed.", "schema": COUNT}}
WAYS = {"WWW-Authenticate": {"description": "The ways to authenticate.", "required": True, "schema": TEXT}}
HEADERS: dict[int, Json] = {401: WAYS, 409: WAIT, 429: WAIT, 503: WAIT}
BODY = {"required": True, "description": "JSON, plain or with `Content-Encoding: gzip`."}


def complete(result: Json, **_: Any) -> Json:
    """A postprocessing hook of drf-spectacular's: adds each operation's errors, which are shared."""
    errors: Json = {}
    for path, operations in result["paths"].items():
        # DRF takes an endpoint's methods from a set, so each process would have them in an order of its own.
        result["paths"][path] = dict(sorted(operations.items()))
        for method, operation in operations.items():
            operation.setdefault("security", [])
            if "requestBody" in operation:
                operation["requestBody"] |= BODY
            answers: Json = operation["responses"]
            receipt: Json = {}
            for answer in answers.values():
                answer["headers"] = REQUEST_ID | answer.get("headers", {})
                receipt |= {name: said for name, said in answer["headers"].items() if name == RECEIPT}
            for code in sorted(_error_codes(method, operation)):
                name, description = ERRORS[code]
                more = {} if code in WITHOUT_RECEIPT else receipt
                name, headers = f"Sync{name}" if more else name, REQUEST_ID | HEADERS.get(code, {}) | more
                content = {"application/json": {"schema": VALIDATION_ERROR if code == 422 else ERROR}}
                errors[name] = {"description": description, "headers": headers, "content": content}
                answers.setdefault(str(code), {"$ref": f"#/components/responses/{name}"})
    schemas = result["components"].get("schemas", {}) | NAMED  # of serializers, and our own
    result["components"] |= {"schemas": schemas, "responses": dict(sorted(errors.items()))}
    return result


def _error_codes(method: str, operation: Json) -> set[int]:
    """What may go wrong, by what the operation takes: a body, credentials, a company. Probes of the health tell it."""
    codes = {409} if method != "get" else set()  # two who write at once
    if "requestBody" in operation:
        codes |= {400, 401, 413, 415, 422, 429, 503}
    if operation["security"]:
        codes |= {401, 429, 503}
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    if "company_guid" in parameters:
        codes |= {400, 403, 404, 422}
    if "after" in parameters:
        codes |= {410}
    return codes
