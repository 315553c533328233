"""How a view describes itself in the OpenAPI document: an `Operation`, which `ApiSchema` turns into OpenAPI 3.1.

What the operations say is with the views, in each app's `openapi` module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drf_spectacular.drainage import warn
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentIdentity, ComponentRegistry, ResolvedComponent

Json = dict[str, Any]
HEADER, RESPONSE, SCHEMA = ResolvedComponent.HEADER, ResolvedComponent.RESPONSE, ResolvedComponent.SCHEMA


@dataclass(frozen=True, slots=True)
class Part:
    """A named part of the document, among its `components`. It stands in for its `$ref` wherever it is used."""

    name: str
    content: Any
    type: str = SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back with one status code."""

    description: str
    schema: Json | Part | None = None
    headers: tuple[Part, ...] = ()
    examples: Mapping[str, Json] = field(default_factory=dict)

    def as_openapi(self) -> Json:
        answer: Json = {"description": self.description, "headers": {part.name: part for part in self.headers}}
        if self.schema is not None:
            answer["content"] = json_content(self.schema, self.examples)
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request must carry."""

    description: str
    schema: Json | Part
    examples: Mapping[str, Json]

    def as_openapi(self) -> Json:
        content = json_content(self.schema, self.examples)
        return {"description": self.description, "required": True, "content": content}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    id: str
    tag: str
    summary: str
    description: str = ""
    parameters: Sequence[Json] = ()
    body: Body | None = None
    answers: Mapping[int, Answer | Part]  # a Part of type RESPONSE

    def as_openapi(self) -> Json:
        operation: Json = {"operationId": self.id, "tags": [self.tag], "summary": self.summary}
        if self.description:
            operation["description"] = self.description
        if self.parameters:
            operation["parameters"] = list(self.parameters)
        if self.body:
            operation["requestBody"] = self.body.as_openapi()
        operation["responses"] = {str(code): answer for code, answer in sorted(self.answers.items())}
        return operation


def json_content(schema: Json | Part, examples: Mapping[str, Json]) -> Json:
    media: Json = {"schema": schema}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": media}


def path_parameter(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


class ApiSchema(AutoSchema):
    """The `schema` of a view; each subclass says in `describe` what its views do.

    Of itself it is the default: a view without a schema of its own is left out, with a warning, which a test heeds.
    """

    view: Any  # each subclass knows what its views have

    def describe(self) -> Operation | None:
        """The operation of `self.view` with `self.method`."""
        warn(f"{type(self.view).__name__} does not say what it does: give it a schema.")
        return None

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Json | None:
        self.registry: ComponentRegistry = registry
        self.path, self.method = path, method.upper()
        described = self.describe()
        if described is None:
            return None
        operation: Json = self._resolved(described.as_openapi())
        operation["security"] = self.get_auth()
        return operation

    def _resolved(self, node: Any) -> Any:
        """`node` with a `$ref` in place of each `Part`, which is registered."""
        if isinstance(node, Part):
            return self._reference(node)
        if isinstance(node, Answer):
            return self._resolved(node.as_openapi())
        if isinstance(node, dict):
            return {key: self._resolved(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolved(value) for value in node]
        return node

    def _reference(self, part: Part) -> Any:
        identity = ComponentIdentity(part)  # type: ignore[no-untyped-call]  # partly typed
        component = ResolvedComponent(name=part.name, type=part.type, object=identity)  # type: ignore[no-untyped-call]  # partly typed
        if component not in self.registry:
            component.schema = self._resolved(part.content)
            self.registry.register(component)
        return component.ref
