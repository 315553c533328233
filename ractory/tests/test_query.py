"""The query string, the same for every endpoint: an option that is known may be given once."""

from typing import Any

import pytest

from bench.fuzzing.surface import Operation, Surface
from pieces.models import LEVELS
from pieces.tests.families import Family, family_of, is_active
from ractory.api.tests.client import Api
from sync.models import SyncRun
from sync.tests.batches import Item, piece_item
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

VALUES = {
    **{"limit": "1", "offset": "0", "match": "piece_id", "entity": "pieces", "status": "succeeded"},
    **{"since": "2026-05-01", "updated_since": "2026-05-01", "ordering": "guid", "cursor": "WyJndWlkIl0"},
}
OPTIONS = [
    (operation, parameter["name"])
    for operation in Surface().operations
    if operation.id != "metrics"
    for parameter in operation.parameters
]


@pytest.fixture
def family(company: Company) -> Family:
    return family_of(company)


def called(api: Api, operation: Operation, family: Family, query: str) -> Any:
    """The answer to a request in which nothing else is wrong."""
    plural = operation.template.split("/")[3]
    kinds = {model.plural: model.kind.value for model in LEVELS}
    guid = family[kinds[plural]].guid if plural in kinds else "01a1ffec-d9c5-7479-8921-c20639616792"
    body: dict[str, list[Item]] = {operation.template.rpartition("/")[2]: []}
    sent = {"data": body, "format": "json"} if operation.method in ("POST", "PUT", "PATCH") else {}
    return getattr(api, operation.method.lower())(f"{operation.template.format(guid=guid)}?{query}", **sent)


@pytest.mark.parametrize("operation", {one.id: one for one, _ in OPTIONS}.values(), ids=lambda one: one.id)
def test_an_option_given_twice_is_a_422(api: Api, family: Family, operation: Operation) -> None:
    """Whichever came last would count, without a word: `?dry_run=true&dry_run=false` would write."""
    api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN))
    for name in (name for one, name in OPTIONS if one is operation):
        value = VALUES.get(name, str(family.project.company_guid) if name.endswith("_guid") else "true")
        for first in (value, "x"):
            answer = called(api, operation, family, f"{name}={first}&{name}={value}")
            assert answer.status_code == 422, (name, answer.content)
            msg = f'Input should be given once, got "{first}", then "{value}"'
            assert answer.json()["detail"] == [{"loc": ["query", name], "msg": msg, "type": "given_twice"}]
    assert is_active(family.project, family.component, family.assembly, family.piece) == [True] * 4


def test_every_endpoint_with_options_is_tried() -> None:
    assert {operation.id.split("_")[0] for operation, _ in OPTIONS} >= {"list", "get", "delete", "restore", "sync"}


def test_a_sync_with_an_option_given_twice_writes_nothing_and_has_a_receipt(api: Api, key: str, family: Family) -> None:
    item = piece_item(family.component, piece_id="new")
    api.with_key(key)
    for query in ("dry_run=true&dry_run=false", "match=piece_id&match=piece_id", "dry_run=x&dry_run=true&match=y"):
        answer = api.post(f"/api/v1/sync/pieces?{query}", {"pieces": [item]})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "given_twice"
        with every_company():
            run = SyncRun.objects.get(guid=answer.headers["X-Sync-Run"])
        assert (run.http_status, run.inserted) == (422, 0)
    assert len(api.get("/api/v1/pieces").json()) == 1
    detail = api.post("/api/v1/sync/pieces?dry_run=1&dry_run=1&match=y", {"pieces": [{}]}).json()["detail"]
    assert [fault["type"] for fault in detail[:2]] == ["given_twice", "match_unknown"]
    assert {fault["type"] for fault in detail[2:]} == {"missing"}


def test_what_nobody_knows_may_be_given_as_often_as_one_likes(api: Api, key: str, family: Family) -> None:
    """It is ignored as one that is given once is; with strict handling it is one fault."""
    api.with_key(key)
    assert api.get("/api/v1/pieces?utm=a&utm=b").status_code == 200
    answer = api.post("/api/v1/sync/pieces?utm=a&utm=b", {"pieces": []}, headers={"Prefer": "handling=strict"})
    assert [(fault["loc"], fault["type"]) for fault in answer.json()["detail"]] == [
        (["query", "utm"], "extra_forbidden")
    ]
