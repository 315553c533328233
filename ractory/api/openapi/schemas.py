"""The words in which the OpenAPI document is written: schemas, named ones and others, parameters, answers."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse
from rest_framework.generics import GenericAPIView

from ractory.api.query import GUID, Json, Query

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
NAMED: dict[str, Json] = {}  # the document's schemas by name (ractory.api.openapi.errors puts them in)


class DescribedSchema(AutoSchema):
    """drf-spectacular's with its guess what is a list for generic views only: our schemas say so themselves."""

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


def body(schema: Json, examples: Mapping[str, Json]) -> OpenApiRequest:
    """What a request must carry, with examples by name."""
    return OpenApiRequest(schema, examples=[OpenApiExample(*example) for example in examples.items()])


def answer(description: str, schema: Json | None = None, examples: Mapping[str, Json] | None = None) -> OpenApiResponse:
    shown = [OpenApiExample(*example) for example in (examples or {}).items()]
    return OpenApiResponse(schema, description=description, examples=shown)


def header(name: str, description: str, schema: Json, *codes: int, always: bool = False) -> OpenApiParameter:
    """A header of the answers with these codes; without codes, of the request."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, required=always, response=list(codes) or False
    )


def path_guid(description: str) -> OpenApiParameter:
    return OpenApiParameter("guid", GUID, OpenApiParameter.PATH, description=description)


def query_parameters(query: Query) -> list[OpenApiParameter]:
    """The parameters of a form, as its fields describe themselves."""
    return [
        OpenApiParameter(
            name,
            field.schema,
            description=field.help_text or f"Only rows with this `{name}`.",
            explode=False if field.schema.get("type") == "array" else None,  # with commas between the words
        )
        for name, field in query.fields.items()
    ]
