"""What the tests of sync send: a client that posts batches, and items from the smallest to all fields set."""

import uuid
from typing import Any

import orjson
from django.db import models

from pieces.models import LEVELS_BY_KIND, Act, Assembly, Component, Entity, Piece
from ractory.api.tests.client import Api
from sync.schemas import Batch, parse, split
from tenants.models import Company
from tenants.scope import every_company

Item = dict[str, Any]
SET_BY_HAND = {"guid", "piece_id", "code", "is_active", "picture"}


class Sync:
    """Posts batches as one caller."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def __call__(self, plural: str, *items: Item, query: str = "", **headers: str) -> Any:
        body = orjson.dumps({plural: items})
        return self.api.post_raw(f"/api/v1/sync/{plural}{query}", body, **headers)


def parse_body(model: type[Entity], raw: bytes, *, strict: bool = False) -> Batch:
    """A whole body's batch, as a request has it."""
    body = split(model, raw)
    return parse(model, body.lines, strict=strict, faults=body.faults, names=body.names)


def act_of(row: Any) -> Act:
    """The act that wrote the row last."""
    act: Act = Act.across_companies.get(guid=row.changed_in)
    return act


def actions(response: Any) -> list[str]:
    """What `Prefer: return=representation` says of each item."""
    assert response.status_code == 200, response.content
    return [item["action"] for item in response.json()["items"]]


def faults(response: Any) -> list[tuple[Any, ...]]:
    """The places of a 422's faults, without the leading "body"."""
    assert response.status_code == 422, response.content
    return [tuple(fault["loc"][1:]) for fault in response.json()["detail"]]


def project_item(company: Company, **fields: Any) -> Item:
    return {"code": "P-1", "company_guid": company.guid, **fields}


def component_item(project: Entity, **fields: Any) -> Item:
    return {"code": "C-1", "project_guid": project.guid, "company_guid": project.company_guid, **fields}


def assembly_item(component: Component, **fields: Any) -> Item:
    return {
        "project_guid": component.project_guid,
        "component_guid": component.guid,
        "company_guid": component.company_guid,
        **fields,
    }


def piece_item(parent: Component | Assembly, **fields: Any) -> Item:
    """The smallest piece, in a component or in an assembly."""
    above = {"component_guid": parent.guid}
    if isinstance(parent, Assembly):
        above = {"component_guid": parent.component_guid, "assembly_guid": parent.guid}
    return {
        "piece_id": "1",
        "project_guid": parent.project_guid,
        "company_guid": parent.company_guid,
        **above,
        **fields,
    }


def full_piece(parent: Component | Assembly, number: int = 0, **fields: Any) -> Item:
    """A piece with a value in every scalar field, and a guid that `number` decides."""
    values = {name: _value(field, number) for name, field in scalar_fields(Piece).items()}
    guid = uuid.uuid5(parent.guid, str(number))
    return piece_item(parent, **{"guid": guid, "piece_id": f"piece-{number}", **values, **fields})


def scalar_fields(model: type[Entity]) -> dict[str, "models.Field[Any, Any]"]:
    """The optional fields with a value of their own, by name."""
    return {
        field.attname: field
        for field in model.settable_fields()
        if field.attname not in SET_BY_HAND and not field.is_relation
    }


def _value(field: "models.Field[Any, Any]", number: int) -> str | int:
    return number if isinstance(field, models.IntegerField) else f"{field.attname} {number}"[: field.max_length]


def row_of(kind: str, guid: uuid.UUID) -> Any:
    """The stored row, active or not."""
    with every_company():
        return LEVELS_BY_KIND[kind].all_objects.get(guid=guid)


def all_rows() -> dict[str, list[Any]]:
    """Every row of the four tables, to compare before and after."""
    with every_company():
        return {kind: list(model.all_objects.order_by("guid").values()) for kind, model in LEVELS_BY_KIND.items()}
