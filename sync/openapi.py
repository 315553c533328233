"""What a sync takes and gives, derived from the models as its validator is, in OpenAPI."""

from functools import cache
from typing import Any

from django.db import models

from pieces.models import Entity, Piece
from pieces.openapi import EXAMPLE_COMPANY, LINK, TOTAL, as_read
from ractory.api.errors import MAX_ECHO, MAX_LISTED
from ractory.api.openapi.answers import FAULT, errors, header, success
from ractory.api.openapi.operations import ApiSchema, Body, Json, Operation, Part, path_parameter
from ractory.api.openapi.query import MOMENTS, NO_NUL, query_parameter, query_parameters
from ractory.api.query import Flag, Guid
from sync.models import MAX_KEY, RunStatus, SyncRun
from sync.planning import Action
from sync.schemas import INT_MAX, INT_MIN, MAX_NAMES, max_items, read_only

IGNORED = header(
    "X-Ignored-Fields",
    "Unknown fields, percent-encoded: the first 100 characters of each name, and whole names only.",
    {"type": "string"},
)
APPLIED = header("Preference-Applied", "What of `Prefer` was heeded (RFC 7240).", {"type": "string"})
REPLAYED = header(
    "Idempotent-Replayed", "This is the first answer under this `Idempotency-Key`.", {"type": "string", "const": "true"}
)
SYNC_RUN_ID = header("X-Sync-Run", "The guid of the receipt.", {"type": "string", "format": "uuid"}, always=True)
RESULT_HEADERS = (IGNORED, APPLIED, REPLAYED)

# A whole number as a string. Ten digits are taken too, as far as they fit 32 bits.
NUMERIC = r"^\s*[+-]?0{0,20}[0-9]{1,9}(\.0*)?\s*$"
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# Latin-1, as headers are; spaces around a header's value are no part of it.
PRINTABLE = r"^[!-~\u00a1-\u00ac\u00ae-\u00ff]([ -~\u00a1-\u00ac\u00ae-\u00ff]*[!-~\u00a1-\u00ac\u00ae-\u00ff])?$"
TRUTHS = ("true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0")

SYNC_ITEM = Part(
    "SyncItem",
    {
        "type": "object",
        "required": ["index", "guid", "action"],
        "properties": {
            "index": {"type": "integer", "minimum": 0},
            "guid": {"type": "string", "format": "uuid"},
            "action": {"type": "string", "enum": [action.value for action in Action]},
        },
    },
)
SYNC_RESULT = Part(
    "SyncResult",
    {
        "type": "object",
        "required": ["inserted", "updated"],
        "properties": {
            "inserted": {"type": "integer", "minimum": 0},
            "updated": {
                "type": "integer",
                "minimum": 0,
                "description": "Items whose entity was there already, whether or not they changed it.",
            },
            "dry_run": {"type": "boolean", "const": True, "description": "Only after a dry run."},
            "items": {
                "type": "array",
                "items": SYNC_ITEM,
                "description": "Only with `Prefer: return=representation`: what became of each item.",
            },
        },
    },
)


def is_required(column: "models.Field[Any, Any]") -> bool:
    return not (column.null or column.has_default())


def as_sent(column: "models.Field[Any, Any]") -> Json:
    """The JSON Schema of what an item may send for the column: more than `as_read`, for clients that are not strict."""
    choices = _as_sent(column)
    if not is_required(column):
        choices = [*choices, {"type": "null"}]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _as_sent(column: "models.Field[Any, Any]") -> list[Json]:
    if isinstance(column, models.ForeignKey | models.UUIDField):
        return [{"type": "string", "format": "uuid"}]
    if isinstance(column, models.CharField):
        return [{"type": "string", "maxLength": column.max_length, "pattern": NO_NUL}]
    if isinstance(column, models.BooleanField):
        return [{"type": "boolean"}, {"enum": [1, 0]}, {"type": "string", "pattern": _any_case(TRUTHS)}]
    if isinstance(column, models.IntegerField):
        whole = {"type": "integer", "format": "int32", "minimum": INT_MIN, "maximum": INT_MAX}
        return [whole, {"type": "string", "pattern": NUMERIC}]
    if isinstance(column, models.DateTimeField):
        return MOMENTS
    if isinstance(column, models.BinaryField):
        return [_picture(column.max_length or 0)]
    raise TypeError(f"{type(column).__name__} has no form in a sync")


def _any_case(words: tuple[str, ...]) -> str:
    """A pattern that matches these words in upper and lower case: JSON Schema has no flag for it."""
    letters = ["".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in words]
    return f"^({'|'.join(letters)})$"


def _picture(limit: int) -> Json:
    return {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": BASE64,
        "maxLength": limit // 3 * 4,  # to the last byte or two would take a pattern for them alone
        "description": f"At most {limit} bytes once decoded.",
    }


@cache
def create_part(model: type[Entity]) -> Part:
    """One item of a batch, e.g. `PieceCreate`."""
    columns = model.settable_fields()
    schema = {
        "type": "object",
        "description": f"Unknown fields are ignored, as are {', '.join(sorted(read_only(model)))}.",
        "required": [column.attname for column in columns if is_required(column)],
        "properties": {column.attname: as_sent(column) for column in columns},
    }
    return Part(f"{model.__name__}Create", schema)


@cache
def bulk_insert_part(model: type[Entity]) -> Part:
    """The body of a sync, e.g. `PieceBulkInsert`."""
    items = {"type": "array", "items": create_part(model), "maxItems": max_items(model)}
    schema = {"type": "object", "required": [model.plural], "properties": {model.plural: items}}
    return Part(f"{model.__name__}BulkInsert", schema)


class SyncSchema(ApiSchema):
    """`POST /api/v1/sync/…` of the view's model."""

    def describe(self) -> Operation:
        model: type[Entity] = self.view.model
        body = Body(
            description="JSON, plain or with `Content-Encoding: gzip`.",
            schema=bulk_insert_part(model),
            examples={"update and insert": EXAMPLES[model.plural]},
        )
        return Operation(
            id=f"sync_{model.plural}",
            tag="sync",
            summary=f"Insert or update {model.plural}",
            description=ABOUT.format(limit=max_items(model), plural=model.plural),
            parameters=_parameters(model),
            body=body,
            answers={
                200: success("All is written.", SYNC_RESULT, SYNC_RUN_ID, *RESULT_HEADERS, examples=ANSWERS),
                **errors(400, 404, 409, 413, 415, 422, prefix="Sync", headers=(SYNC_RUN_ID,)),
                **errors(401, 403, 429, 503),
            },
        )


class RunsSchema(ApiSchema):
    """`GET /api/v1/sync/runs`."""

    def describe(self) -> Operation:
        fields = {**self.view.query_class.base_fields, "company_guid": Guid(required=False)}
        return Operation(
            id="list_sync_runs",
            tag="sync",
            summary="List receipts",
            description=(
                "The sync requests of the company, newest first, refused ones too. A page of long receipts may end "
                "before `limit`, with a `Link`."
            ),
            parameters=query_parameters(fields),
            answers={
                200: success("The receipts.", {"type": "array", "items": run_part()}, LINK, TOTAL),
                **errors(400, 401, 403, 404, 422, 429, 503),
            },
        )


class RunSchema(ApiSchema):
    """`GET /api/v1/sync/runs/{guid}`."""

    def describe(self) -> Operation:
        guid = path_parameter("guid", {"type": "string", "format": "uuid"}, "From the header `X-Sync-Run`.")
        return Operation(
            id="get_sync_run",
            tag="sync",
            summary="Get one receipt",
            description="What became of one sync request, also for a client that lost the answer.",
            parameters=[guid, *query_parameters({"company_guid": Guid(required=False)})],
            answers={200: success("The receipt.", run_part()), **errors(400, 401, 403, 404, 422, 429, 503)},
        )


@cache
def run_part() -> Part:
    """The receipt, derived from its model and its wire shape."""
    columns = {column.attname: column for column in SyncRun._meta.concrete_fields}
    lists: Json = {
        "errors": {"type": "array", "items": FAULT, "maxItems": MAX_LISTED},
        "ignored_fields": {
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_ECHO},
            "maxItems": MAX_NAMES,
        },
        "entity": {"type": "string", "enum": sorted(EXAMPLES)},
        "status": {"type": "string", "enum": RunStatus.values},
    }
    properties = {name: lists.get(name) or as_read(columns[name]) for name in SyncRun().as_wire()}
    return Part("SyncRun", {"type": "object", "required": list(properties), "properties": properties})


ABOUT = """\
At most {limit} {plural}, all or nothing: with one fault nothing is written, and every fault is named.

- Without a `guid`, or with an unknown one: insert. With a `guid` of the same company: update.
- On an update an omitted optional field keeps its value; an explicit null clears it.
- A deleted entity is restored; `"is_active": false` soft-deletes it, and what is below it.
- Parents must exist, be active, be of the item's company and fit each other."""


def _parameters(model: type[Entity]) -> list[Json]:
    own = "The items must be of this company. For a SystemAdmin; anyone else may name their own."
    match = {
        "name": "match",
        "in": "query",
        "description": "Items without a `guid` update the active piece of their project with their `piece_id`.",
        "schema": {"type": "string", "enum": ["piece_id"]},
    }
    prefer = {
        "name": "Prefer",
        "in": "header",
        "description": (
            "`return=representation` adds `items` to the answer; `handling=strict` makes unknown fields and "
            "parameters a 422 (RFC 7240). Others are ignored."
        ),
        "schema": {"type": "string", "examples": ["return=representation, handling=strict"]},
    }
    once = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "The same request again under the same key within 24 h gets the stored first answer, and nothing is "
            f"written again. 1 to {MAX_KEY} printable characters."
        ),
        "schema": {"type": "string", "maxLength": MAX_KEY, "pattern": PRINTABLE},
    }
    return [
        query_parameter("dry_run", Flag(), "The full answer, and nothing is written."),
        *([match] if model is Piece else []),
        query_parameter("company_guid", Guid(required=False), own),
        prefer,
        once,
    ]


PROJECT, COMPONENT = "123e4567-e89b-12d3-a456-426614174000", "223e4567-e89b-12d3-a456-426614174002"
ASSEMBLY, PIECE = "323e4567-e89b-12d3-a456-426614174003", "423e4567-e89b-12d3-a456-426614174004"
OF_COMPANY = {"company_guid": EXAMPLE_COMPANY}
OF_COMPONENT = {"project_guid": PROJECT, "component_guid": COMPONENT, **OF_COMPANY}
CUT = {"profile_code": "XPS-01"}
EXAMPLES: dict[str, Json] = {
    "projects": {"projects": [{"guid": PROJECT, "code": "PRJ-001", **OF_COMPANY}, {"code": "PRJ-002", **OF_COMPANY}]},
    "components": {
        "components": [
            {"guid": COMPONENT, "code": "CMP-001", "project_guid": PROJECT, "quantity": 2, **OF_COMPANY},
            {"code": "CMP-002", "project_guid": PROJECT, **OF_COMPANY},
        ]
    },
    "assemblies": {
        "assemblies": [{"guid": ASSEMBLY, "trolley_cell": "A1", **OF_COMPONENT}, {"trolley_cell": "A2", **OF_COMPONENT}]
    },
    "pieces": {
        "pieces": [
            {
                "guid": PIECE,
                "piece_id": "PCE-001-001",
                "assembly_guid": ASSEMBLY,
                "barcode": "BARCODE001",
                "outer_length": 1200,
                **CUT,
                **OF_COMPONENT,
            },
            {"piece_id": "PCE-001-002", "barcode": "BARCODE002", "outer_length": 1250, **CUT, **OF_COMPONENT},
        ]
    },
}
ANSWERS = {
    "update and insert": {"inserted": 1, "updated": 1},
    "with a dry run and items": {
        "inserted": 0,
        "updated": 1,
        "dry_run": True,
        "items": [{"index": 0, "guid": PIECE, "action": Action.UNCHANGED.value}],
    },
}
