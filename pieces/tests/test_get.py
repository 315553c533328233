"""`GET /{guid}`: the full object, its counts, and to whom it exists."""

import uuid
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from pieces.models import LEVELS, Entity
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import KINDS, Family, family_of, path_of
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db

COUNTS = {
    "project": ["component_count", "piece_count"],
    "component": ["assembly_count", "piece_count"],
    "assembly": ["piece_count"],
    "piece": [],
}


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_the_full_object_has_every_field_of_the_wire_and_the_counts(
    reader: Api, family: Family, model: type[Entity]
) -> None:
    body = reader.get(path_of(family[model.kind.value])).json()
    assert list(body) == [field.attname for field in model.wire_fields()] + COUNTS[model.kind.value]
    assert next(iter(body)) == "guid"
    assert not {"digest", "picture_digest", "deletion_guid", "deletion"} & set(body)


def test_values_have_their_form_of_the_wire(reader: Api, company: Company) -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    project = ProjectFactory.create(company=company, code="", due_date=moment, created_at=moment)
    component = ComponentFactory.create(project=project, picture=b"\x00\xffpicture", quantity=None)
    body = reader.get(path_of(project)).json()
    assert (body["code"], body["due_date"], body["created_at"]) == ("", "2026-03-01T12:30:00Z", "2026-03-01T12:30:00Z")
    assert (body["company_guid"], body["is_active"], body["deleted_at"]) == (str(company.guid), True, None)
    body = reader.get(path_of(component)).json()
    assert (body["project_guid"], body["quantity"]) == (str(project.guid), None)
    assert body["picture"] == b64encode(b"\x00\xffpicture").decode()


def test_counts_are_of_active_descendants(reader: Api, family: Family) -> None:
    PieceFactory.create(component=family.component, assembly=None)
    second = ComponentFactory.create(project=family.project)
    deleted = PieceFactory.create(assembly=AssemblyFactory.create(component=second))
    assert reader.delete(path_of(deleted)).status_code == 204
    family_of(family.project.company)

    def counts(entity: Entity) -> list[int]:
        body = reader.get(path_of(entity)).json()
        return [body[name] for name in COUNTS[entity.kind.value]]

    assert counts(family.project) == [2, 2]
    assert counts(family.component) == [1, 2]
    assert counts(family.assembly) == [1]
    assert counts(second) == [1, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_deleted_one_is_found_with_include_inactive_only(reader: Api, family: Family, kind: str) -> None:
    path = path_of(family[kind])
    reader.delete(path)
    assert reader.get(path).status_code == 404
    assert reader.get(path, {"include_inactive": "false"}).status_code == 404
    found = reader.get(path, {"include_inactive": "true"})
    assert found.status_code == 200
    body = found.json()
    assert body["is_active"] is False
    assert body["deleted_at"].endswith("Z")
    assert [body[name] for name in COUNTS[kind]] == [0] * len(COUNTS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_what_belongs_to_another_company_does_not_exist(reader: Api, foreign: Family, kind: str) -> None:
    path = path_of(foreign[kind])
    assert reader.get(path, {"include_inactive": "true"}).status_code == 404
    unknown = path.replace(str(foreign[kind].guid), str(uuid.uuid4()))
    assert reader.get(unknown).status_code == 404


@pytest.mark.parametrize(
    "text", ["x", "1", "%00", "%ED%A0%80", "0" * 5000, "..", "01a1ffd8-04dd-7645-942d-832ee49fd87"]
)
def test_a_malformed_guid_is_a_404(reader: Api, text: str) -> None:
    answer = reader.get(f"/api/v1/pieces/{text}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_a_guid_in_upper_case_and_a_trailing_slash_are_fine(reader: Api, family: Family) -> None:
    path = f"/api/v1/pieces/{str(family.piece.guid).upper()}/"
    assert reader.get(path).json()["guid"] == str(family.piece.guid)


def test_a_bad_query_is_a_422(reader: Api, family: Family) -> None:
    answer = reader.get(path_of(family.piece), {"include_inactive": "perhaps", "company_guid": "none"})
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [
        ["query", "company_guid"],
        ["query", "include_inactive"],
    ]


def test_every_role_reads_its_own_company_and_nobody_else(api: Api, company: Company, family: Family) -> None:
    path = path_of(family.piece)
    assert api.get(path).status_code == 401
    for role in set(Role) - {Role.SYSTEM_ADMIN}:
        assert api.with_user(UserFactory.create(company=company, role=role)).get(path).status_code == 200
        assert api.with_user(UserFactory.create(role=role)).get(path).status_code == 404
    api.credentials()
    assert api.with_key(issue_key(company, "sync:read")).get(path).status_code == 200


def test_a_system_admin_sees_all_companies_or_the_one_named(
    api: Api, company: Company, other_company: Company, family: Family
) -> None:
    api.with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN))
    path = path_of(family.piece)
    assert api.get(path).status_code == 200
    assert api.get(path, {"company_guid": str(company.guid)}).status_code == 200
    assert api.get(path, {"company_guid": str(other_company.guid)}).status_code == 404
    assert api.get(path, {"company_guid": str(uuid.uuid4())}).status_code == 404


def test_naming_a_foreign_company_is_a_403(
    reader: Api, company: Company, other_company: Company, family: Family
) -> None:
    path = path_of(family.piece)
    assert reader.get(path, {"company_guid": str(company.guid)}).status_code == 200
    assert reader.get(path, {"company_guid": str(other_company.guid)}).status_code == 403


@pytest.mark.parametrize("kind", KINDS)
def test_other_methods_are_a_405(reader: Api, family: Family, kind: str) -> None:
    path = path_of(family[kind])
    list_path = path.rpartition("/")[0]
    for answer in (
        reader.put(path),
        reader.patch(path),
        reader.post(path),
        reader.post(list_path),
        reader.delete(list_path),
    ):
        assert answer.status_code == 405
        assert isinstance(answer.json()["detail"], str)
    assert reader.get(f"{path}/restore").status_code == 405
    assert reader.options(path).status_code == 200
    assert reader.head(path).status_code == 200
