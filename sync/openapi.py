"""What a sync takes and gives, derived from the models as its validator is, for the OpenAPI document."""

from typing import Any

from django.db import models
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from pieces.models import LEVELS_BY_PLURAL, Entity, Operation
from pieces.openapi import RUN_HEADER, as_read, plain
from pieces.receipts import MAX_KEY, RunStatus, SyncRun
from ractory.api.errors import MAX_ECHO, MAX_LISTED
from ractory.api.openapi import COUNT, FAULT, TEXT, an_object, answer, array_of, body, header, named
from ractory.api.query import DAY_OR_MOMENT, GUID, NO_NUL, Json
from sync.matching import MATCHED_BY
from sync.planning import Action
from sync.schemas import IF_UPDATED_AT, INT_MAX, INT_MIN, MAX_NAMES, max_items, read_only

# A whole number as a string. Ten digits are taken too, as far as they fit 32 bits.
NUMERIC = r"^\s*[+-]?0{0,20}[0-9]{1,9}(\.0*)?\s*$"
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# Latin-1, as headers are; spaces around a header's value are no part of it.
PRINTABLE = r"^[!-~\u00a1-\u00ac\u00ae-\u00ff]([ -~\u00a1-\u00ac\u00ae-\u00ff]*[!-~\u00a1-\u00ac\u00ae-\u00ff])?$"
# `true`, `t`, `yes`, `no` and so on in upper and lower case: JSON Schema has no flag for it.
TRUTHS = "^([Tt]([Rr][Uu][Ee])?|[Yy]([Ee][Ss])?|[Oo][Nn]|1|[Ff]([Aa][Ll][Ss][Ee])?|[Nn][Oo]?|[Oo][Ff][Ff]|0)$"

ENTITY = {"type": "string", "enum": list(LEVELS_BY_PLURAL)}
GUID_OR_NULL = {**GUID, "type": ["string", "null"]}
ITEM = {"index": COUNT, "guid": GUID, "action": {"type": "string", "enum": [action.value for action in Action]}}
ITEMS = "Only with `Prefer: return=representation`: what became of each item."
RESULT = {
    "inserted": COUNT,
    "updated": {**COUNT, "description": "Items whose entity was there already, whether or not they changed it."},
    "dry_run": {"type": "boolean", "const": True, "description": "Only after a dry run."},
    "items": array_of(named("SyncItem", an_object(ITEM)), description=ITEMS),
}
PREFER = (
    "`return=representation` adds `items` to the answer; `handling=strict` makes unknown fields and parameters a 422 "
    "(RFC 7240). Others are ignored."
)
KEY = (
    "The same request again under the same key within 24 h gets the stored first answer, and nothing is written again. "
    f"1 to {MAX_KEY} printable characters."
)
EXPECTED = {
    "description": "The `updated_at` that the row had when it was read; null: only if there is none yet.",
    "anyOf": [*DAY_OR_MOMENT["anyOf"], {"type": "null"}],
}
REPLAYED = "This is the first answer under this `Idempotency-Key`."
IGNORED = "Unknown fields, percent-encoded: the first 100 characters of each name, and whole names only."
HEADERS = (
    header("Prefer", PREFER, {**TEXT, "examples": ["return=representation, handling=strict"]}),
    header("Idempotency-Key", KEY, {**TEXT, "maxLength": MAX_KEY, "pattern": PRINTABLE}),
    RUN_HEADER,
    header("X-Ignored-Fields", IGNORED, TEXT, 200),
    header("Preference-Applied", "What of `Prefer` was heeded (RFC 7240).", TEXT, 200),
    header("Idempotent-Replayed", REPLAYED, {**TEXT, "const": "true"}, 200),
)
ABOUT = """\
At most {limit} {plural}, all or nothing: with one fault nothing is written, and every fault is named.

- Without a `guid`, or with an unknown one: insert. With a `guid` of the same company: update.
- On an update an omitted optional field keeps its value; an explicit null clears it.
- A deleted entity is restored; `"is_active": false` soft-deletes it, and what is below it.
- Parents must exist, be active, be of the item's company and fit each other."""


def as_sent(column: "models.Field[object, object]") -> Json:
    """The JSON Schema of what an item may send for the column: more than `as_read`, for clients that are not strict."""
    schema = plain(column)
    choices = [schema]
    match column:
        case models.CharField():
            schema["pattern"] = NO_NUL
        case models.BooleanField():
            choices += [{"enum": [1, 0]}, {"type": "string", "pattern": TRUTHS}]
        case models.IntegerField():
            schema |= {"minimum": INT_MIN, "maximum": INT_MAX}
            choices.append({"type": "string", "pattern": NUMERIC})
        case models.DateTimeField():
            choices = [*DAY_OR_MOMENT["anyOf"]]
        case models.BinaryField(max_length=int(most)):
            # A limit to the last byte or two would take a pattern for them alone.
            limit = {"maxLength": most // 3 * 4, "description": f"At most {most} bytes once decoded."}
            schema |= {"pattern": BASE64, **limit}
    if column.null or column.has_default():
        choices.append({"type": "null"})
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def described(view: Any) -> Any:
    """A decorator of sync's views that tells drf-spectacular what the sync of their entity takes and gives."""
    model: type[Entity] = view.model
    columns = {column.attname: column for column in model.settable_fields()}
    optional = (name for name, column in columns.items() if column.null or column.has_default())
    ignored = f"Unknown fields are ignored, as are {', '.join(sorted(read_only(model)))}."
    sent = {name: as_sent(column) for name, column in columns.items()} | {IF_UPDATED_AT: EXPECTED}
    item = an_object(sent, *optional, IF_UPDATED_AT, description=ignored)
    items = array_of(named(f"{model.__name__}Create", item), maxItems=max_items(model))
    unmatched = [] if model in MATCHED_BY else [OpenApiParameter("match", exclude=True)]
    whole = named(f"{model.__name__}BulkInsert", an_object({model.plural: items}))
    result = named("SyncResult", an_object(RESULT, "dry_run", "items"))
    return extend_schema_view(
        post=extend_schema(
            operation_id=f"sync_{model.plural}",
            summary=f"Insert or update {model.plural}",
            description=ABOUT.format(limit=max_items(model), plural=model.plural),
            parameters=[*unmatched, *HEADERS],
            request=body(whole, {"update and insert": EXAMPLES[model.plural]}),
            responses={200: answer("All is written.", result, ANSWERS)},
        )
    )(view)


# The receipt, derived from its model and its wire shape.
WRITTEN: Json = {
    "errors": array_of(FAULT, maxItems=MAX_LISTED),
    "ignored_fields": array_of({"type": "string", "maxLength": MAX_ECHO}, maxItems=MAX_NAMES),
    "entity": {"type": "string", "enum": sorted(LEVELS_BY_PLURAL)},
    "status": {"type": "string", "enum": RunStatus.values},
    "operation": {"type": "string", "enum": Operation.values},
}
COLUMNS = {column.attname: column for column in SyncRun._meta.concrete_fields}
SHOWN = {name: WRITTEN.get(name) or as_read(COLUMNS[name]) for name in SyncRun().as_wire()}
RECEIPT = named("SyncRun", an_object(SHOWN))

PROJECT, COMPONENT = "123e4567-e89b-12d3-a456-426614174000", "223e4567-e89b-12d3-a456-426614174002"
ASSEMBLY, PIECE = "323e4567-e89b-12d3-a456-426614174003", "423e4567-e89b-12d3-a456-426614174004"
OF_COMPANY = {"company_guid": "abcdef12-3456-7890-abcd-ef1234567890"}
OF_COMPONENT = {"project_guid": PROJECT, "component_guid": COMPONENT, **OF_COMPANY}
CUT = {"profile_code": "XPS-01", **OF_COMPONENT}
UPDATES_AND_INSERTS: dict[str, list[Json]] = {
    "projects": [{"guid": PROJECT, "code": "PRJ-001", **OF_COMPANY}, {"code": "PRJ-002", **OF_COMPANY}],
    "components": [
        {"guid": COMPONENT, "code": "CMP-001", "project_guid": PROJECT, "quantity": 2, **OF_COMPANY},
        {"code": "CMP-002", "project_guid": PROJECT, **OF_COMPANY},
    ],
    "assemblies": [{"guid": ASSEMBLY, "trolley_cell": "A1", **OF_COMPONENT}, {"trolley_cell": "A2", **OF_COMPONENT}],
    "pieces": [
        {"guid": PIECE, "piece_id": "PCE-001-001", "assembly_guid": ASSEMBLY, "outer_length": 1200}
        | {"barcode": "BARCODE001", **CUT},
        {"piece_id": "PCE-001-002", "barcode": "BARCODE002", "outer_length": 1250, **CUT},
    ],
}
EXAMPLES: dict[str, Json] = {plural: {plural: items} for plural, items in UPDATES_AND_INSERTS.items()}
UNCHANGED = {"index": 0, "guid": PIECE, "action": Action.UNCHANGED.value}
ANSWERS: dict[str, Json] = {
    "update and insert": {"inserted": 1, "updated": 1},
    "with a dry run and items": {"inserted": 0, "updated": 1, "dry_run": True, "items": [UNCHANGED]},
}
