"""How entities look in answers, derived from their models, and what the OpenAPI document says of their endpoints."""

from typing import Any

from django.db import models
from drf_spectacular.utils import OpenApiParameter, extend_schema

from pieces.history import ACTIONS
from pieces.models import Entity
from pieces.reading import counted, fields_of
from ractory.api.openapi import COUNT, ERROR, TEXT, an_object, answer, header, named
from ractory.api.paging import MAX_LIMIT, MAX_PAGE_BYTES
from ractory.api.query import GUID, Json

RUN_HEADER = header("X-Sync-Run", "The guid of the receipt.", GUID, 200, 204, always=True)
AFTER = header(
    "X-Sync-Run",
    "Where lists are read from a replica: the answer is no older than these syncs, whose answers had these "
    "`X-Sync-Run`; separated by commas. `Cache-Control: no-cache` asks for what is true now.",
    TEXT,
)


def plain(column: "models.Field[object, object]") -> Json:
    """The JSON Schema of the column's values in answers, but for null."""
    match column:
        case models.ForeignKey() | models.UUIDField():
            return GUID
        case models.CharField():
            return {"type": "string", "maxLength": column.max_length}
        case models.BooleanField():
            return {"type": "boolean"}
        case models.IntegerField():
            return {"type": "integer", "format": "int32"}
        case models.DateTimeField():
            return {"type": "string", "format": "date-time", "description": "In UTC, with `Z`."}
        case models.BinaryField():
            return {"type": "string", "contentEncoding": "base64"}
    raise TypeError(f"{type(column).__name__} has no form in an answer")


def as_read(column: "models.Field[object, object]") -> Json:
    """The same, or null if the column may be."""
    schema = plain(column)
    return {**schema, "type": [schema["type"], "null"]} if column.null else schema


NULLABLE = {**TEXT, "type": ["string", "null"]}
HISTORY_ENTRY: Json = {
    "at": {"type": "string", "format": "date-time"},
    "action": {"type": "string", "enum": list(ACTIONS)},
    "actor": {**NULLABLE, "description": "Null for a write by hand, past this server."},
    "run_guid": {**NULLABLE, "format": "uuid", "description": "Of the receipt."},
    "request_id": NULLABLE,
    "deletion_guid": {**NULLABLE, "format": "uuid", "description": "Of the deletion that it is in, or was."},
    "changes": {
        "type": "object",
        "description": "By field: its old and its new value; a picture by its digests, in hexadecimal.",
        "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
    },
}
UNREAD = OpenApiParameter("include_inactive", exclude=True)  # a bad one is a 422, and that is all
GONE = "It was there, and is not kept any more."


def endpoints_of(model: type[Entity]) -> dict[str, Any]:
    """What the endpoints of an entity do, for drf-spectacular's `extend_schema_view`."""
    name, kind, plural = model.__name__, model.kind.value, model.plural
    columns = {column.attname: as_read(column) for column in model.wire_fields()}
    detail = columns | dict.fromkeys(counted(model), COUNT)
    short = named(f"{name}Response", an_object({column: columns[column] for column in fields_of(model, full=False)}))
    full = named(f"{name}Detail", an_object(detail))
    some = {"type": "object", "properties": detail, "minProperties": 1, "additionalProperties": False}
    chosen = named(f"{name}Fields", some)
    shapes = "Short objects, full ones with `detail=true`, or with just the `fields` that were asked for."
    listed = answer(shapes, {"anyOf": [{"type": "array", "items": shape} for shape in (full, short, chosen)]})
    one = answer("The full object, or just the `fields` of it that were asked for.", {"anyOf": [full, chosen]})
    entry = named("HistoryEntry", an_object(HISTORY_ENTRY))
    return {
        "list": extend_schema(
            operation_id=f"list_{plural}",
            summary=f"List {plural}",
            description=(
                f"At most {MAX_LIMIT} rows and about {MAX_PAGE_BYTES // 2**20} MiB at a time: a page with pictures may "
                "end before `limit`. Follow `Link` to page: whatever others change meanwhile, no row comes twice and "
                "none is missed. A parent that is not there is a 404; parents that do not fit each other, a 400."
            ),
            parameters=[AFTER],
            responses={200: listed},
        ),
        "retrieve": extend_schema(
            operation_id=f"get_{kind}",
            summary=f"Get one {kind}",
            parameters=[AFTER],
            responses={200: one, 410: answer(GONE, ERROR)},
        ),
        "history": extend_schema(
            operation_id=f"list_{kind}_history",
            summary=f"Who changed the {kind}, when, and what",
            description="Newest first, of a deleted one too. A page of long entries may end before `limit`.",
            parameters=[AFTER],
            responses={200: answer("The changes.", {"type": "array", "items": entry}), 410: answer(GONE, ERROR)},
        ),
        "destroy": extend_schema(
            operation_id=f"delete_{kind}",
            summary=f"Soft-delete one {kind}",
            description="Everything active below it goes along.",
            parameters=[UNREAD, RUN_HEADER],
            responses={204: answer("It is deleted.")},
        ),
        "restore": extend_schema(
            operation_id=f"restore_{kind}",
            summary=f"Restore one {kind}",
            description="It comes back with what that same deletion took; what had been deleted before stays deleted.",
            parameters=[UNREAD, RUN_HEADER],
            request=None,
            responses={204: answer("It is back.")},
        ),
    }
