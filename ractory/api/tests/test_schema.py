"""The OpenAPI document is valid, complete, and of one mind with models, validator and answers."""

import json
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import models
from jsonschema_rs import Draft202012Validator, meta
from rest_framework.exceptions import APIException

from pieces.models import INTERNAL, LEVELS, Entity, Piece
from pieces.reading import SHORT_PIECE
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from ractory.api.meta import document
from ractory.api.tests.client import Api
from sync.openapi import ANSWERS, EXAMPLES
from sync.schemas import max_items
from sync.tests.batches import parse_body
from tenants.models import Company

DOCUMENT: dict[str, Any] = json.loads(document())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
FACTORIES = (ProjectFactory, ComponentFactory, AssemblyFactory, PieceFactory)
MANAGED = ("companies", "users", "api-keys")
FIELDS = [(model, column) for model in LEVELS for column in model.settable_fields()]


def validator_of(name: str) -> Draft202012Validator:
    """A validator for the component `name`, in which references to others work."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema, validate_formats=True)


def named(model_and_column: Any) -> str:
    return str(getattr(model_and_column, "attname", None) or model_and_column.__name__)


def test_the_document_is_made_without_a_warning_and_is_valid(tmp_path: Any) -> None:
    """Against the meta-schema of OpenAPI 3.1, which drf-spectacular ships; a view that says nothing is a warning."""
    options = {"validate": True, "fail_on_warn": True, "file": str(tmp_path / "schema.yml")}
    call_command("spectacular", **options)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_schema_is_valid_json_schema() -> None:
    for schema in SCHEMAS.values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_it_is_json_and_open_to_everyone(api: Api) -> None:
    answer = api.get("/api/schema")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT
    assert api.get("/api/schema/").json() == DOCUMENT


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "application/yaml", "*/*", "nonsense"])
def test_it_is_json_whatever_is_accepted(api: Api, accept: str) -> None:
    assert api.get("/api/schema", headers={"accept": accept}).json() == DOCUMENT


def test_the_docs_name_no_other_server(api: Api) -> None:
    answer = api.get("/api/docs")
    page = answer.content.decode()
    assert answer["Content-Type"].startswith("text/html")
    assert "http://" not in page
    assert "https://" not in page
    assert '"validatorUrl": null' in api.get("/api/docs?script=").content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page


@pytest.mark.parametrize("path", ["/api/docs", "/api/schema"])
def test_their_errors_are_json(api: Api, path: str) -> None:
    answer = api.post(path)
    assert answer.status_code == 405
    assert answer.json() == {"detail": 'Method "POST" not allowed.'}


def test_paths_are_those_of_the_contract() -> None:
    plurals = [model.plural for model in LEVELS]
    assert set(DOCUMENT["paths"]) == {
        *("/health", "/api/v1/health", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/me"),
        *("/api/v1/changes", "/api/v1/sync/runs", "/api/v1/sync/runs/{guid}"),
        *("/api/v1/sync/runs/{guid}/changes", "/api/v1/sync/runs/{guid}/undo", "/api/v1/sync/snapshots"),
        *("/api/v1/sync/snapshots/{guid}", "/api/v1/sync/snapshots/{guid}/complete"),
        *(f"/api/v1/{managed}" for managed in MANAGED),
        *(f"/api/v1/{managed}/{{guid}}" for managed in MANAGED),
        "/api/v1/api-keys/{guid}/rotate",
        *(f"/api/v1/sync/{plural}" for plural in plurals),
        *(f"/api/v1/{plural}" for plural in plurals),
        *(f"/api/v1/{plural}/{{guid}}" for plural in plurals),
        *(f"/api/v1/{plural}/{{guid}}/{act}" for plural in plurals for act in ("restore", "history")),
    }


def test_schemas_have_the_names_of_the_contract() -> None:
    names = {f"{model.__name__}{suffix}" for model in LEVELS for suffix in ("BulkInsert", "Create", "Response")}
    assert names | {"PieceDetail", "SyncResult", "Error", "ValidationError", "Fault"} <= set(SCHEMAS)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_answer_has_its_envelope(path: str, method: str, operation: Any) -> None:
    assert operation["security"] or path.startswith(("/health", "/api/v1/health", "/api/v1/auth/"))
    for code, reference in operation["responses"].items():
        answer = resolved(reference)
        assert "X-Request-ID" in answer["headers"]
        assert ("WWW-Authenticate" in answer["headers"]) == (code == "401")
        assert "Retry-After" in answer["headers"] or code not in ("429", "503") or path.endswith("/health")
        if int(code) >= 400 and not path.endswith("/health"):
            wanted = "ValidationError" if code == "422" else "Error"
            if code == "409":
                wanted = {"undo": "UndoConflicts", "complete": "TooManyDeleted"}.get(path.rpartition("/")[2], wanted)
            assert answer["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{wanted}"}


def test_whatever_asks_who_calls_can_be_a_429() -> None:
    limited = {path for path, _, operation in OPERATIONS if "429" in operation["responses"]}
    assert {path for path, _, _ in OPERATIONS} - limited == {"/health", "/api/v1/health"}


def resolved(node: Any) -> Any:
    if "$ref" not in node:
        return node
    target: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


# --- Requests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", LEVELS)
def test_an_item_has_the_fields_that_a_client_may_set(model: type[Entity]) -> None:
    schema = SCHEMAS[f"{model.__name__}Create"]
    assert list(schema["properties"]) == [*(column.attname for column in model.settable_fields()), "if_updated_at"]
    assert not INTERNAL & schema["properties"].keys()


@pytest.mark.parametrize("model", LEVELS)
def test_a_batch_has_its_limit(model: type[Entity]) -> None:
    items = SCHEMAS[f"{model.__name__}BulkInsert"]["properties"][model.plural]
    assert items["maxItems"] == max_items(model)
    assert items["items"] == {"$ref": f"#/components/schemas/{model.__name__}Create"}


# What is tried on each field. Whatever the server takes, the document allows, and the other way round; but for a few
# oddities that would need unreadable patterns: ten digits in a string, a UUID without hyphens, a picture's last byte.
TRIED: tuple[Any, ...] = (
    *(None, "", " ", "x", "\0", "x\0", True, False, [], {}, "true", "YES", "oFF", "maybe"),
    *(0, 1, 2, -1, 1.0, 1200.0, 1.5, "0", "1", "12", "+12", "-0", "12.0", "12.", "1.5", " 12 ", "1e3", "١"),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2.0**31, 2**40, "2147483648", "99999999999"),
    *("x" * 255, "x" * 256, "é" * 255, "x" * 4000, "x" * 4001, "\N{GRINNING FACE}" * 255),
    *("00000000-0000-0000-0000-000000000000", "01a1ffe9-a07a-7059-b227-7bd408c25896", "01a1ffe9-a07a-7059-b227"),
    *("2025-01-31", "2025-01-31T10:00:00Z", "2025-01-31T10:00:00.123456+02:00", "2025-02-30", "0000-01-01"),
    *("2025-01-31T25:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", 253402300799999, 2**60),
    *("AAAA", "AAA=", "AA==", "A===", "AAA", "AA-_", "A" * 349_524, "A" * 349_528),
)


@pytest.mark.parametrize(("model", "column"), FIELDS, ids=named)
def test_the_validator_and_the_document_take_the_same_values(
    model: type[Entity], column: "models.Field[Any, Any]"
) -> None:
    documented = validator_of(f"{model.__name__}BulkInsert")
    good = EXAMPLES[model.plural][model.plural][0]
    for value in TRIED:
        body = {model.plural: [{**good, column.attname: value}]}
        assert documented.is_valid(body) == is_taken(model, body), (column.attname, value)


@pytest.mark.parametrize(("model", "column"), FIELDS, ids=named)
def test_the_validator_and_the_document_miss_the_same_fields(
    model: type[Entity], column: "models.Field[Any, Any]"
) -> None:
    body = {model.plural: [{**EXAMPLES[model.plural][model.plural][0]}]}
    body[model.plural][0].pop(column.attname, None)
    required = not (column.null or column.has_default())
    assert is_taken(model, body) == (not required)
    assert (column.attname in SCHEMAS[f"{model.__name__}Create"]["required"]) == required


def is_taken(model: type[Entity], body: Any) -> bool:
    try:
        return not parse_body(model, orjson.dumps(body), strict=True).fault_count
    except APIException:
        return False


# --- Answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "factory"), list(zip(LEVELS, FACTORIES, strict=True)))
def test_answers_have_the_documented_fields(
    api: Api, company: Company, key: str, model: type[Entity], factory: Any
) -> None:
    guid = factory.create(company=company).guid
    api.with_key(key)
    [short] = api.get(f"/api/v1/{model.plural}").json()
    [long] = api.get(f"/api/v1/{model.plural}?detail=true").json()
    one = api.get(f"/api/v1/{model.plural}/{guid}").json()
    for answer, name in ((short, "Response"), (long, "Detail"), (one, "Detail")):
        schema = SCHEMAS[f"{model.__name__}{name}"]
        assert list(answer) == list(schema["properties"]) == schema["required"]
        validator_of(f"{model.__name__}{name}").validate(answer)


@pytest.mark.parametrize("model", LEVELS)
def test_the_full_object_shows_every_field_that_a_sync_sets(model: type[Entity]) -> None:
    sent, read = (SCHEMAS[f"{model.__name__}{name}"]["properties"] for name in ("Create", "Detail"))
    assert sent.keys() - {"if_updated_at"} <= read.keys()
    for column in model.wire_fields():
        shown = read[column.attname]
        assert ("null" in shown["type"]) == column.null
        if isinstance(column, models.CharField):
            assert shown["maxLength"] == column.max_length


def test_the_short_piece_is_that_of_the_contract() -> None:
    assert tuple(SCHEMAS[f"{Piece.__name__}Response"]["properties"]) == SHORT_PIECE


def test_the_examples_are_valid() -> None:
    for model in LEVELS:
        validator_of(f"{model.__name__}BulkInsert").validate(EXAMPLES[model.plural])
    for example in ANSWERS.values():
        validator_of("SyncResult").validate(example)
