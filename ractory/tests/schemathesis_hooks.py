"""Tells schemathesis what an OpenAPI document can't: which rows there are, and which refusals depend on them.

Without this nearly every answer would be a 403 or a 404. Only requests that are meant to be right are changed.
"""

import hashlib
from collections import Counter
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

COMPANY = "abcdef12-3456-7890-abcd-ef1234567890"
# By the entity's plural. Those of the document's examples; others are there to be deleted and restored.
ROWS = {
    "projects": "123e4567-e89b-12d3-a456-426614174000",
    "components": "223e4567-e89b-12d3-a456-426614174002",
    "assemblies": "323e4567-e89b-12d3-a456-426614174003",
    "pieces": "423e4567-e89b-12d3-a456-426614174004",
}
DISPOSABLE = {plural: guid.replace("e89b", "dead") for plural, guid in ROWS.items()}
# Rows that are there to be changed, by what is managed.
MANAGED = {
    "companies": "523e4567-e89b-12d3-a456-426614174005",
    "users": "623e4567-e89b-12d3-a456-426614174006",
    "api-keys": "723e4567-e89b-12d3-a456-426614174007",
}
KNOWN = {
    "company_guid": COMPANY,
    "project_guid": ROWS["projects"],
    "component_guid": ROWS["components"],
    "assembly_guid": ROWS["assemblies"],
}
CURSORS = {  # by the order of the list: after the nil UUID, before the max UUID
    "guid": "WyJndWlkIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0",
    "-guid": "WyItZ3VpZCIsImZmZmZmZmZmLWZmZmYtZmZmZi1mZmZmLWZmZmZmZmZmZmZmZiJd",
}
# A 422 of these alone says nothing about the schema: they depend on other rows, other items or `Prefer`; and that
# an ordering names no field both ways can't be said in one.
BEYOND_SCHEMA = {
    *("guid_duplicate", "piece_id_taken", "parent_deleted", "extra_forbidden", "ordering_twice", "too_many_faults"),
    *("password_too_short", "password_too_similar", "password_too_common", "word_unknown", "past", "company_fixed"),
    *(
        "blank",
        "null_characters_not_allowed",
        "cursor_parsing",
        "fields_of_others",
        "cursor_ordering",
        "changed_meanwhile",
        "scope_unfit",
        "parent_not_found",
    ),
    "field_unknown",  # of a state of the past, which has no counts
}


# Of these there are five and more for each field or parameter, all refused or taken by one class: one in three is sent,
# and so some of every field.
ALIKE = {"incorrect_type", "enum_value_items_array"}
seen: Counter[tuple[str, str]] = Counter()


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    scenario = str(getattr(case.meta and case.meta.phase.data, "scenario", ""))
    place = (case.operation.label, scenario)
    seen[place] += 1
    return scenario not in ALIKE or seen[place] % 3 == 1


@schemathesis.hook
def filter_failure(context: HookContext, failure: Exception, case: Case[Any], response: Response) -> bool:
    if isinstance(failure, UseAfterFree) and is_managed(case.path):
        return False  # who is switched off can be read, and switched on again
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        return not {fault["type"] for fault in response.json()["detail"]} <= BEYOND_SCHEMA
    return True


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """A made-up key would be what counts."""
    if case.headers:
        case.headers.pop("X-API-Key", None)


def is_managed(path: str) -> bool:
    return path.startswith(tuple(f"/api/v1/{plural}" for plural in MANAGED))


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _map_path(case)
        if isinstance(case.query, dict):
            _map_query(case.query, "-guid" if case.path.endswith("/runs") else "guid")
        if case.headers and "Idempotency-Key" in case.headers:  # another request is another key
            request = repr((case.path, case.query, case.body)).encode()
            case.headers["Idempotency-Key"] = hashlib.sha256(request).hexdigest()
        if isinstance(case.body, dict) and is_managed(case.path):
            case.body |= {} if case.path.startswith("/api/v1/companies") else {"company_guid": COMPANY}
        elif isinstance(case.body, dict):
            _map_body(case.body)
    return case


def _map_path(case: Case[Any]) -> None:
    """One in four keeps its unknown guid, for the sake of the 404."""
    rows = (ROWS if case.method.upper() == "GET" else DISPOSABLE) | MANAGED
    plural, guid = case.path.removeprefix("/api/v1/").split("/")[0], (case.path_parameters or {}).get("guid")
    if plural in rows and isinstance(guid, str) and guid[-1:] not in "0369":
        case.path_parameters["guid"] = rows[plural]


def _map_query(query: dict[str, Any], order: str) -> None:
    query |= {name: KNOWN[name] for name in KNOWN.keys() & query.keys()}
    if "cursor" in query:
        query["cursor"] = CURSORS[order]
        query.pop("ordering", None)


def _map_body(body: dict[str, Any]) -> None:
    if "entity" in body:  # a complete set, of which a SystemAdmin has to say whose it is
        body["company_guid"] = COMPANY
    for items in body.values():
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                item |= {name: KNOWN[name] for name in KNOWN.keys() & item.keys() if item[name] is not None}
