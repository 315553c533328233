"""How entities look in answers, derived from their models, and how their endpoints describe themselves."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import models

from pieces.filters import DetailQuery, detail_query
from pieces.models import Entity
from pieces.reading import columns_of, counted
from ractory.api.openapi.answers import errors, header, success
from ractory.api.openapi.operations import ApiSchema, Json, Operation, Part, path_parameter
from ractory.api.openapi.query import query_parameter, query_parameters
from ractory.api.paging import MAX_LIMIT, MAX_PAGE_BYTES

LINK = header("Link", 'The next page, `<…>; rel="next"`, while there is more (RFC 8288).', {"type": "string"})
TOTAL = header("X-Total-Count", "With `count=true`: the rows on all pages.", {"type": "integer", "minimum": 0})
AFTER: Json = {
    "name": "X-Sync-Run",
    "in": "header",
    "description": (
        "Where lists are read from a replica: the answer is no older than these syncs, whose answers had these "
        "`X-Sync-Run`; separated by commas. `Cache-Control: no-cache` asks for what is true now."
    ),
    "schema": {"type": "string"},
}
EXAMPLE_COMPANY = "abcdef12-3456-7890-abcd-ef1234567890"


def nullable(schema: Json, column: "models.Field[Any, Any]") -> Json:
    return {**schema, "type": [schema["type"], "null"]} if column.null else schema


def as_read(column: "models.Field[Any, Any]") -> Json:
    """The JSON Schema of the column's values in answers."""
    return nullable(_as_read(column), column)


def _as_read(column: "models.Field[Any, Any]") -> Json:
    if isinstance(column, models.ForeignKey | models.UUIDField):
        return {"type": "string", "format": "uuid"}
    if isinstance(column, models.CharField):
        return {"type": "string", "maxLength": column.max_length}
    if isinstance(column, models.BooleanField):
        return {"type": "boolean"}
    if isinstance(column, models.IntegerField):
        return {"type": "integer", "format": "int32"}
    if isinstance(column, models.DateTimeField):
        return {"type": "string", "format": "date-time", "description": "In UTC, with `Z`."}
    if isinstance(column, models.BinaryField):
        return {"type": "string", "contentEncoding": "base64"}
    raise TypeError(f"{type(column).__name__} has no form in an answer")


@cache
def entity_part(model: type[Entity], *, full: bool) -> Part:
    """The short object of lists, e.g. `PieceResponse`, or the full one, `PieceDetail`."""
    columns = {column.attname: column for column in model.wire_fields()}
    properties: Json = {name: as_read(columns[name]) for name in columns_of(model, full=full)}
    if full:
        properties |= {name: {"type": "integer", "minimum": 0} for name in counted(model)}
    name = f"{model.__name__}{'Detail' if full else 'Response'}"
    return Part(name, {"type": "object", "required": list(properties), "properties": properties})


@cache
def chosen_part(model: type[Entity]) -> Part:
    """The object with `fields`, e.g. `PieceFields`: some of the full one's."""
    properties = entity_part(model, full=True).content["properties"]
    schema = {"type": "object", "properties": properties, "minProperties": 1, "additionalProperties": False}
    return Part(f"{model.__name__}Fields", schema)


class EntitySchema(ApiSchema):
    """List, read, soft-delete and restore the view's entity."""

    def describe(self) -> Operation:
        describe: dict[str, Callable[[type[Entity]], Operation]] = {
            "list": self._list,
            "retrieve": self._retrieve,
            "destroy": self._destroy,
            "restore": self._restore,
        }
        return describe[self.view.action](self.view.model)

    def _list(self, model: type[Entity]) -> Operation:
        parts = (entity_part(model, full=True), entity_part(model, full=False), chosen_part(model))
        return Operation(
            id=f"list_{model.plural}",
            tag=model.plural,
            summary=f"List {model.plural}",
            description=(
                f"At most {MAX_LIMIT} rows and about {MAX_PAGE_BYTES // 2**20} MiB at a time: a page with pictures may "
                "end before `limit`. Follow `Link` to page: whatever others change meanwhile, no row comes twice and "
                "none is missed. A parent that is not there is a 404; parents that do not fit each other, a 400."
            ),
            parameters=[*query_parameters(self.view.filterset_class({}).form.fields), AFTER],
            answers={
                200: success(
                    "Short objects, full ones with `detail=true`, or with just the `fields` that were asked for.",
                    {"anyOf": [{"type": "array", "items": part} for part in parts]},
                    LINK,
                    TOTAL,
                ),
                **errors(400, 401, 403, 404, 422, 429, 503),
            },
        )

    def _retrieve(self, model: type[Entity]) -> Operation:
        return Operation(
            id=f"get_{model.kind.value}",
            tag=model.plural,
            summary=f"Get one {model.kind.value}",
            parameters=[_guid_of(model), *query_parameters(detail_query(model).base_fields), AFTER],
            answers={
                200: success(
                    "The full object, or just the `fields` of it that were asked for.",
                    {"anyOf": [entity_part(model, full=True), chosen_part(model)]},
                ),
                **errors(400, 401, 403, 404, 422, 429, 503),
            },
        )

    def _destroy(self, model: type[Entity]) -> Operation:
        return Operation(
            id=f"delete_{model.kind.value}",
            tag=model.plural,
            summary=f"Soft-delete one {model.kind.value}",
            description="Everything active below it goes along.",
            parameters=[_guid_of(model), _company()],
            answers={204: success("It is deleted.", None), **errors(400, 401, 403, 404, 409, 422, 429, 503)},
        )

    def _restore(self, model: type[Entity]) -> Operation:
        return Operation(
            id=f"restore_{model.kind.value}",
            tag=model.plural,
            summary=f"Restore one {model.kind.value}",
            description="It comes back with what that same deletion took; what had been deleted before stays deleted.",
            parameters=[_guid_of(model), _company()],
            answers={204: success("It is back.", None), **errors(400, 401, 403, 404, 409, 422, 429, 503)},
        )


def _guid_of(model: type[Entity]) -> Json:
    return path_parameter("guid", {"type": "string", "format": "uuid"}, f"The {model.kind.value}'s guid.")


def _company() -> Json:
    return query_parameter("company_guid", DetailQuery.base_fields["company_guid"])
