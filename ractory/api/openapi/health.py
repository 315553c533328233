"""How the health endpoints describe themselves."""

from ractory.api.openapi.answers import success
from ractory.api.openapi.operations import Answer, ApiSchema, Json, Operation, Part

PROPERTIES: Json = {"status": {"type": "string", "enum": ["ok", "unavailable"]}, "version": {"type": "string"}}
HEALTH = Part("Health", {"type": "object", "required": ["status", "version"], "properties": PROPERTIES})
UNAVAILABLE = Part(
    "Unavailable",
    {
        "type": "object",
        "required": ["status", "version", "detail"],
        "properties": {**PROPERTIES, "detail": {"type": "string"}},
    },
)


class LivenessSchema(ApiSchema):
    def describe(self) -> Operation:
        return Operation(
            id="liveness",
            tag="meta",
            summary="Is the server alive?",
            description="Does not touch the database.",
            answers={200: success("It is.", HEALTH)},
        )


class HealthSchema(ApiSchema):
    def describe(self) -> Operation:
        down: Answer = success("The database does not answer.", UNAVAILABLE)
        return Operation(
            id="health",
            tag="meta",
            summary="Does the server reach its database?",
            answers={200: success("It does.", HEALTH), 503: down},
        )
