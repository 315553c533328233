"""What sync refuses, in which order, and that it then writes nothing: 401, 403, 415, 413, 400, 422."""

import gzip
import uuid
from typing import Any

import orjson
import pytest
from django.test import override_settings

from pieces.models import Component
from pieces.tests.factories import ProjectFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Sync, all_rows, faults, full_piece, piece_item
from tenants.caller import KeyScope, Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

PIECES = "/api/v1/sync/pieces"
PLURALS = {"projects": 5000, "components": 5000, "assemblies": 5000, "pieces": 1000}


@pytest.mark.django_db
def test_nobody_gets_401_before_anything_else(api: Api) -> None:
    response = api.post_raw(PIECES, b"\xff" * 100, content_type="text/plain")
    assert (response.status_code, "WWW-Authenticate" in response) == (401, True)


def test_a_reading_key_gets_403_before_its_body_is_looked_at(api: Api, company: Company) -> None:
    api.with_key(issue_key(company, KeyScope.SYNC_READ))
    response = api.post_raw(PIECES, b"\xff", content_type="text/plain")
    assert (response.status_code, type(response.json()["detail"])) == (403, str)


def test_more_parameters_than_django_reads_are_a_400_with_a_receipt(api: Api, key: str) -> None:
    response = api.with_key(key).post_raw(f"{PIECES}?{'limit=1&' * 1500}", b'{"pieces": []}')
    assert (response.status_code, response.json()) == (400, {"detail": "Bad request."})
    receipt = api.get(f"/api/v1/sync/runs/{response['X-Sync-Run']}").json()
    assert (receipt["status"], receipt["http_status"]) == ("rejected", 400)


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.SYSTEM_ADMIN, 200),
        (Role.COMPANY_ADMIN, 200),
        (Role.INTEGRATION, 200),
        (Role.PROJECT_MANAGER, 403),
        (Role.OPERATOR, 403),
    ],
)
def test_roles_may_sync_as_the_table_says(api: Api, component: Component, role: Role, status: int) -> None:
    api.with_user(UserFactory.create(role=role, company=component.company))
    assert Sync(api)("pieces", piece_item(component)).status_code == status


def test_the_content_type_comes_before_the_size_and_the_size_before_the_json(api: Api, key: str) -> None:
    api.with_key(key)
    with override_settings(MAX_BODY_BYTES=10):
        assert api.post_raw(PIECES, b"x" * 11, content_type="text/plain").status_code == 415
        assert api.post_raw(PIECES, b"x" * 11).status_code == 413
        assert api.post_raw(PIECES, b"x" * 10).status_code == 400
        bomb = gzip.compress(b" " * 1000)[:]
        assert api.post_raw(PIECES, bomb, content_encoding="gzip").status_code == 413


@pytest.mark.parametrize("content_encoding", ["br", "deflate", "gzip, gzip"])
def test_an_unknown_coding_is_415(api: Api, key: str, content_encoding: str) -> None:
    assert api.with_key(key).post_raw(PIECES, b"{}", content_encoding=content_encoding).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"pieces"',
        b"null",
        b'{"pieces": [}',
        b'{"pieces": [{"piece_id": "\xff"}]}',
        b'{"pieces": [{"piece_id": "\\ud800"}]}',
        b'{"pieces": ' + b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_400(api: Api, key: str, body: bytes) -> None:
    response = api.with_key(key).post_raw(PIECES, body)
    assert (response.status_code, type(response.json()["detail"])) == (400, str)


def test_a_truncated_gzip_stream_is_400(api: Api, key: str) -> None:
    body = gzip.compress(b'{"pieces": []}')[:-9]
    assert api.with_key(key).post_raw(PIECES, body, content_encoding="gzip").status_code == 400


@pytest.mark.parametrize(("plural", "limit"), PLURALS.items())
def test_a_batch_over_the_limit_is_400_even_when_its_items_are_faulty(sync: Sync, plural: str, limit: int) -> None:
    response = sync(plural, *[{}] * (limit + 1))
    assert (response.status_code, response.json()) == (400, {"detail": f"Maximum batch size is {limit} {plural}"})
    assert len(faults(sync(plural, *[{}] * limit))) == 101


@pytest.mark.parametrize("body", [{}, {"pieces": 5}, {"pieces": None}, {"piece": []}])
def test_a_body_without_the_list_is_422(api: Api, key: str, body: dict[str, Any]) -> None:
    response = api.with_key(key).post_raw(PIECES, orjson.dumps(body))
    assert [fault["loc"] for fault in response.json()["detail"]] == [["body", "pieces"]]


def test_a_foreign_company_is_403_after_the_schema_and_before_the_parents(
    sync: Sync, component: Component, other_company: Company
) -> None:
    foreign = piece_item(component, company_guid=other_company.guid, project_guid=uuid.uuid4())
    response = sync("pieces", piece_item(component), foreign)
    assert (response.status_code, str(other_company.guid) in response.json()["detail"]) == (403, True)
    assert faults(sync("pieces", foreign, {"piece_id": 5})) != []


def test_a_batch_of_1000_with_20_faults_names_all_20_and_writes_nothing(sync: Sync, component: Component) -> None:
    sync("pieces", *[full_piece(component, number) for number in range(500)])
    before = all_rows()
    wrong: list[tuple[str, Any]] = [
        ("piece_id", None), ("project_guid", "x"), ("component_guid", 5), ("company_guid", ""), ("guid", "nope"),
        ("assembly_guid", "-"), ("is_active", "perhaps"), ("picture", "%%%"), ("barcode", 5), ("cell", "x" * 256),
        ("operations", "x" * 4001), ("outer_length", "abc"), ("inner_length", 2**40), ("angle_left", 1.5),
        ("angle_right", True), ("bar_rest", [1]), ("bar_length", {}), ("profile_width", "1e3"), ("info2", False),
        ("client", ["x"]),
    ]  # fmt: skip
    batch = [full_piece(component, number, cell="changed") for number in range(1000)]
    for number, (name, value) in enumerate(wrong):
        batch[number * 50][name] = value
    response = sync("pieces", *batch)
    assert faults(response) == [("pieces", number * 50, name) for number, (name, _) in enumerate(wrong)]
    assert all_rows() == before


def test_twenty_faults_of_parents_and_identities_are_all_named_and_nothing_is_written(
    sync: Sync, component: Component
) -> None:
    sync("pieces", full_piece(component, 0), piece_item(component, piece_id="held"))
    before = all_rows()
    columns = ("project_guid", "component_guid", "assembly_guid")
    batch = [full_piece(component, number, cell="changed") for number in range(1000)]
    expected = []
    for number in range(18):
        batch[number * 50 + 1][columns[number % 3]] = uuid.uuid4()
        expected.append(("pieces", number * 50 + 1, columns[number % 3]))
    batch[950]["piece_id"] = "held"
    batch[999]["guid"] = batch[0]["guid"]
    expected += [("pieces", 950, "piece_id"), ("pieces", 999, "guid")]
    assert faults(sync("pieces", *batch)) == expected
    assert all_rows() == before


def test_at_most_100_faults_are_listed_and_then_one_says_how_many_more(sync: Sync, component: Component) -> None:
    for item in (piece_item(component, bar_rest="x"), piece_item(component, project_guid=uuid.uuid4())):
        detail = sync("pieces", *[item | {"piece_id": str(n)} for n in range(150)]).json()["detail"]
        assert [fault["loc"][2] for fault in detail[:100]] == list(range(100))
        assert (len(detail), "50" in detail[100]["msg"]) == (101, True)


def test_a_fault_names_the_offending_value(sync: Sync, component: Component) -> None:
    [fault] = sync("pieces", piece_item(component, outer_length="abc")).json()["detail"]
    assert fault["loc"] == ["body", "pieces", 0, "outer_length"]
    assert ('"abc"' in fault["msg"], fault["type"]) == (True, "int_type")


@pytest.mark.parametrize("name", ["barcode", "piece_id", "info2"])
def test_nul_is_a_fault_like_any_other(sync: Sync, component: Component, name: str) -> None:
    response = sync("pieces", {**piece_item(component), name: "a\0b"}, piece_item(component, bar_rest="x"))
    assert faults(response) == [("pieces", 0, name), ("pieces", 1, "bar_rest")]


def test_a_backslash_before_u0000_is_no_nul(sync: Sync, component: Component) -> None:
    assert sync("pieces", piece_item(component, barcode="\\u0000")).status_code == 200


@pytest.mark.parametrize("number", [b"2199023255552", b"1" * 4000, b"1e400", b"NaN", b"-Infinity", b"1" * 5000])
def test_no_number_is_too_large_for_a_clear_answer(api: Api, key: str, component: Component, number: bytes) -> None:
    body = orjson.dumps({"pieces": [piece_item(component)]})[:-3] + b',"bar_rest":' + number + b"}]}"
    assert api.with_key(key).post_raw(PIECES, body).status_code in (400, 422)


@pytest.mark.parametrize(
    "due", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", 1e300, [], True, 0, "20260501", "1e9"]
)
def test_no_date_is_too_far_for_a_clear_answer(sync: Sync, company: Company, due: Any) -> None:
    item = {"code": "P", "company_guid": company.guid, "due_date": due}
    assert faults(sync("projects", item)) == [("projects", 0, "due_date")]


@pytest.mark.parametrize(
    ("query", "place"),
    [("dry_run=perhaps", "dry_run"), ("match=barcode", "match"), ("company_guid=x", "company_guid")],
)
def test_a_bad_option_is_422(sync: Sync, component: Component, query: str, place: str) -> None:
    assert faults(sync("pieces", piece_item(component), query=f"?{query}")) == [(place,)]


def test_a_malformed_company_guid_is_told_after_what_is_wrong_with_the_body_s_form(api: Api, key: str) -> None:
    api.with_key(key)
    path = f"{PIECES}?company_guid=x"
    with override_settings(MAX_BODY_BYTES=100):
        assert api.post_raw(path, b"x" * 101, content_type="text/plain").status_code == 415
        assert api.post_raw(path, b"x" * 101).status_code == 413
    assert api.post_raw(path, b"x").status_code == 400
    assert faults(api.post_raw(path, b'{"pieces": [{}]}'))[0] == ("company_guid",)


def test_only_pieces_are_matched_by_piece_id(sync: Sync, company: Company) -> None:
    item = {"code": "P", "company_guid": company.guid}
    assert faults(sync("projects", item, query="?match=piece_id")) == [("match",)]


def test_parents_must_exist_be_active_and_fit_each_other(sync: Sync, component: Component) -> None:
    company = component.company
    elsewhere = ProjectFactory.create(company=company)
    sync("projects", {"guid": elsewhere.guid, "code": "x", "company_guid": company.guid})
    batch = [
        piece_item(component, piece_id="1", project_guid=uuid.uuid4()),
        piece_item(component, piece_id="2", project_guid=elsewhere.guid),
        piece_item(component, piece_id="3", assembly_guid=uuid.uuid4()),
        piece_item(component, piece_id="4", component_guid=uuid.uuid4(), assembly_guid=uuid.uuid4()),
    ]
    assert faults(sync("pieces", *batch)) == [
        ("pieces", 0, "project_guid"),
        ("pieces", 1, "component_guid"),
        ("pieces", 2, "assembly_guid"),
        ("pieces", 3, "component_guid"),
        ("pieces", 3, "assembly_guid"),
    ]
    sync("projects", {"guid": elsewhere.guid, "code": "x", "company_guid": company.guid, "is_active": False})
    item = {"code": "C", "company_guid": company.guid, "project_guid": elsewhere.guid}
    assert faults(sync("components", item)) == [("components", 0, "project_guid")]
