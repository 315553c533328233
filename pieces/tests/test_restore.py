"""`POST /{guid}/restore`: back comes what that same deletion took, or nothing at all."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.models import Deletion, Piece
from pieces.tests.copies import copies
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, family_of, is_active, path_of
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", KINDS)
def test_it_brings_back_what_the_deletion_took(reader: Api, family: Family, kind: str) -> None:
    path = path_of(family[kind])
    reader.delete(path)
    answer = reader.post(f"{path}/restore")
    assert (answer.status_code, answer.content) == (204, b"")
    assert is_active(*(family[name] for name in KINDS)) == [True] * 4
    body = reader.get(path).json()
    assert body["deleted_at"] is None
    with every_company():
        assert set(Piece.all_objects.values_list("deletion_guid", flat=True)) == {None}
        record = Deletion.objects.get()
        assert record.restored_at is not None
        assert record.restored_by.startswith("api_key:")


def test_a_child_that_was_deleted_on_its_own_before_stays_deleted(reader: Api, family: Family) -> None:
    sibling = PieceFactory.create(assembly=family.assembly)
    reader.delete(path_of(family.piece))
    reader.delete(path_of(family.project))
    reader.post(f"{path_of(family.project)}/restore")
    assert is_active(family.piece, sibling, family.assembly, family.project) == [False, True, True, True]
    assert reader.post(f"{path_of(family.piece)}/restore").status_code == 204
    assert is_active(family.piece) == [True]


def test_nested_deletions_are_undone_one_by_one(reader: Api, family: Family) -> None:
    for kind in reversed(KINDS):
        assert reader.delete(path_of(family[kind])).status_code == 204
    for number, kind in enumerate(KINDS, start=1):
        assert reader.post(f"{path_of(family[kind])}/restore").status_code == 204
        assert is_active(*(family[name] for name in KINDS)) == [True] * number + [False] * (4 - number)


def test_an_active_an_unknown_and_a_malformed_one_are_a_404(reader: Api, family: Family) -> None:
    assert reader.post(f"{path_of(family.project)}/restore").status_code == 404
    for text in (str(uuid.uuid4()), "x", "%00"):
        assert reader.post(f"/api/v1/projects/{text}/restore").status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_company_has_does_not_exist(api: Api, key: str, foreign: Family, kind: str) -> None:
    theirs = issue_key(foreign.project.company)
    assert api.with_key(theirs).delete(path_of(foreign[kind])).status_code == 204
    assert api.with_key(key).post(f"{path_of(foreign[kind])}/restore").status_code == 404
    assert is_active(foreign[kind]) == [False]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_below_a_deleted_parent_it_is_a_409(reader: Api, family: Family, kind: str) -> None:
    path = path_of(family[kind])
    reader.delete(path)
    reader.delete(path_of(family.project))
    answer = reader.post(f"{path}/restore")
    assert answer.status_code == 409
    assert str(family.project.guid) in answer.json()["detail"]
    assert is_active(family[kind]) == [False]


def test_what_went_with_its_parent_cannot_come_back_alone(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.component))
    answer = reader.post(f"{path_of(family.piece)}/restore")
    assert answer.status_code == 409
    assert is_active(family.piece, family.component) == [False, False]


def test_a_piece_id_that_has_been_taken_is_a_409(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.piece))
    holder = PieceFactory.create(assembly=family.assembly, piece_id=family.piece.piece_id)
    answer = reader.post(f"{path_of(family.piece)}/restore")
    assert answer.status_code == 409
    assert str(holder.guid) in answer.json()["detail"]
    assert is_active(family.piece, holder) == [False, True]


def test_a_taken_piece_id_below_keeps_all_deleted(reader: Api, family: Family) -> None:
    other = PieceFactory.create(assembly=family.assembly)
    reader.delete(path_of(family.assembly))
    PieceFactory.create(component=family.component, assembly=None, piece_id=family.piece.piece_id)
    assert reader.post(f"{path_of(family.assembly)}/restore").status_code == 409
    assert is_active(family.assembly, family.piece, other) == [False, False, False]
    with every_company():
        assert Deletion.objects.get().restored_at is None


def test_deleted_again_after_a_restore_it_comes_back_again(reader: Api, family: Family) -> None:
    path = path_of(family.project)
    for _ in range(2):
        assert reader.delete(path).status_code == 204
        assert reader.post(f"{path}/restore").status_code == 204
    assert is_active(*(family[name] for name in KINDS)) == [True] * 4


def test_who_may_restore(api: Api, company: Company, family: Family) -> None:
    path, restore = path_of(family.piece), f"{path_of(family.piece)}/restore"
    assert api.post(restore).status_code == 401
    deleter = Api().with_key(issue_key(company))
    allowed = {Role.SYSTEM_ADMIN, Role.COMPANY_ADMIN, Role.INTEGRATION, Role.PROJECT_MANAGER}
    for role in Role:
        deleter.delete(path)
        api.with_user(UserFactory.create(company=None if role == Role.SYSTEM_ADMIN else company, role=role))
        assert api.post(restore).status_code == (204 if role in allowed else 403)
    api.credentials()
    deleter.delete(path)
    assert api.with_key(issue_key(company, "sync:read")).post(restore).status_code == 403
    assert api.with_key(issue_key(company, "sync:write")).post(restore).status_code == 204


def test_the_number_of_statements_does_not_depend_on_the_number_of_pieces(reader: Api, company: Company) -> None:
    small, large = family_of(company), family_of(company)
    copies(large.piece, 1000)
    counts = []
    for family in (small, large):
        reader.delete(path_of(family.project))
        with CaptureQueriesContext(connection) as queries:
            assert reader.post(f"{path_of(family.project)}/restore").status_code == 204
        counts.append(len(queries))
    assert counts[0] == counts[1]
    with every_company():
        assert Piece.objects.count() == 1002
