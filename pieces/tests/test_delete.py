"""`DELETE /{guid}`: an entity and everything active below it, softly, and a record of it."""

import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Deletion, Entity, Piece
from pieces.tests.copies import copies
from pieces.tests.factories import AssemblyFactory, PieceFactory
from pieces.tests.families import KINDS, Family, family_of, is_active, path_of
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db

UNKNOWN = str(uuid.UUID(int=7))  # the same in every process that collects the tests


def stored(entity: Entity) -> Entity:
    with every_company():
        row: Entity = type(entity).all_objects.get(guid=entity.guid)
        return row


@pytest.mark.postgresql
def test_a_single_deletion_needs_no_table_of_its_own(reader: Api, family: Family) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert reader.delete(path_of(family.piece)).status_code == 204
    assert not [query["sql"] for query in queries if "TEMP" in query["sql"] or "COPY" in query["sql"]]


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_forgotten_out_of_the_way_can_not_be_committed(family: Family) -> None:
    with every_company():
        rows = Piece.objects.filter(guid=family.piece.guid)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.update(is_active=False, deleted_at=timezone.now(), deletion=uuid.uuid4())


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_the_entity_and_all_below_it_and_nothing_else(reader: Api, family: Family, kind: str) -> None:
    relatives = family_of(family.project.company)
    answer = reader.delete(path_of(family[kind]))
    assert (answer.status_code, answer.content) == (204, b"")

    gone = family.from_level(kind)
    kept = [family[name] for name in KINDS if family[name] not in gone]
    assert is_active(*gone) == [False] * len(gone)
    assert all(is_active(*kept, *(relatives[name] for name in KINDS)))
    rows = [stored(entity) for entity in gone]
    assert len({(row.deleted_at, row.deletion_guid) for row in rows}) == 1
    assert {row.updated_at >= row.deleted_at for row in rows if row.deleted_at} == {True}
    assert rows[0].deleted_at is not None


def test_rows_are_never_removed(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.project))
    found = reader.get("/api/v1/pieces", {"include_inactive": "true"}).json()
    assert [piece["guid"] for piece in found] == [str(family.piece.guid)]


def test_siblings_stay(reader: Api, family: Family) -> None:
    sibling = PieceFactory.create(assembly=AssemblyFactory.create(component=family.component))
    loose = PieceFactory.create(component=family.component, assembly=None)
    reader.delete(path_of(family.assembly))
    assert is_active(sibling, loose, family.component, family.piece) == [True, True, True, False]


def test_what_was_deleted_before_keeps_its_own_deletion(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.piece))
    before = stored(family.piece)
    reader.delete(path_of(family.project))
    after = stored(family.piece)
    assert (after.deleted_at, after.deletion_guid, after.updated_at) == (
        before.deleted_at,
        before.deletion_guid,
        before.updated_at,
    )


def test_a_second_time_is_a_404_and_so_is_what_went_along(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.project))
    for kind in KINDS:
        assert reader.delete(path_of(family[kind])).status_code == 404
    with every_company():
        assert Deletion.objects.count() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_company_has_does_not_exist(reader: Api, foreign: Family, kind: str) -> None:
    assert reader.delete(path_of(foreign[kind])).status_code == 404
    assert is_active(*(foreign[name] for name in KINDS)) == [True] * 4


@pytest.mark.parametrize("text", ["x", UNKNOWN, "%00"])
def test_unknown_and_malformed_guids_are_a_404(reader: Api, text: str) -> None:
    assert reader.delete(f"/api/v1/projects/{text}").status_code == 404


def test_the_record_says_who_when_through_what_and_how_much(api: Api, family: Family) -> None:
    PieceFactory.create(component=family.component, assembly=None)
    user = UserFactory.create(company=family.project.company, role=Role.PROJECT_MANAGER)
    api.with_user(user).delete(path_of(family.project), headers={"X-Request-ID": "request-7"})
    with every_company():
        record = Deletion.objects.get()
    assert (record.kind, record.root_guid, record.company_guid) == (
        "project",
        family.project.guid,
        family.project.company_guid,
    )
    assert (record.components, record.assemblies, record.pieces) == (1, 1, 2)
    assert (record.actor, record.request_id) == (f"user:{user.email}", "request-7")
    assert record.created_at == stored(family.project).deleted_at
    assert record.restored_at is None


def test_who_may_delete(api: Api, company: Company, family: Family) -> None:
    assert api.delete(path_of(family.piece)).status_code == 401
    allowed = {Role.SYSTEM_ADMIN: 204, Role.COMPANY_ADMIN: 204, Role.INTEGRATION: 204, Role.PROJECT_MANAGER: 204}
    for role in Role:
        piece = PieceFactory.create(assembly=family.assembly)
        api.with_user(UserFactory.create(company=None if role == Role.SYSTEM_ADMIN else company, role=role))
        assert api.delete(path_of(piece)).status_code == allowed.get(role, 403)
        assert is_active(piece) == [role not in allowed]
    api.credentials()
    assert api.with_key(issue_key(company, "sync:read")).delete(path_of(family.piece)).status_code == 403
    assert api.with_key(issue_key(company, "sync:write")).delete(path_of(family.piece)).status_code == 204


def test_the_number_of_statements_does_not_depend_on_the_number_of_pieces(reader: Api, company: Company) -> None:
    small, large = family_of(company), family_of(company)
    copies(large.piece, 1000)
    counts = []
    for family in (small, large):
        with CaptureQueriesContext(connection) as queries:
            assert reader.delete(path_of(family.project)).status_code == 204
        counts.append(len(queries))
    assert counts[0] == counts[1]
    with every_company():
        assert Piece.objects.count() == 0
        assert Deletion.objects.get(root_guid=large.project.guid).pieces == 1001
