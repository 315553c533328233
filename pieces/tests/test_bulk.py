"""`bulk_create` and `bulk_update` leave the same rows and return the same as Django's own, on both databases."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError, connection, models, transaction
from django.db.models import F
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pieces.models import MAX_PICTURE, Component, Piece, Project
from pieces.tests.factories import ComponentFactory, ProjectFactory
from tenants.scope import company_scope, every_company
from tenants.tests.factories import CompanyFactory

DJANGO: Any = models.QuerySet  # whose methods are the measure
# All that PostgreSQL stores: any character but NUL and lone surrogates.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=255)
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
VALUES: dict[str, Any] = {
    "piece_id": TEXT,
    "barcode": st.none() | TEXT,
    "operations": st.none() | st.text(st.sampled_from("aé€😀\t\n\\\"'%"), max_size=4000),
    "outer_length": st.none() | st.integers(-(2**31), 2**31 - 1),
    "picture": st.none() | st.binary(max_size=300) | st.just(b"\xff" * MAX_PICTURE),
    "digest": st.none() | st.binary(max_size=16),
    "created_at": MOMENT,
    "created_in": st.none() | st.uuids(),
}
CHANGES = st.fixed_dictionaries(VALUES)
COLUMNS = [field.attname for field in Piece._meta.concrete_fields]


def stored(guids: list[uuid.UUID]) -> list[dict[str, Any]]:
    """The rows in this order, without what tells one from its twin."""
    with every_company():
        rows = {row["guid"]: row for row in Piece.all_objects.filter(guid__in=guids).values()}
    apart = ("guid", "company_guid", "project_guid", "component_guid", "updated_at")
    return [{name: _plain(value) for name, value in rows[guid].items() if name not in apart} for guid in guids]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def rows_of(pieces: list[Piece], columns: list[str]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(piece, column) for column in columns) for piece in pieces]


def new_pieces(component: Component, changes: list[dict[str, Any]]) -> list[Piece]:
    links = {name: getattr(component, name) for name in ("company_guid", "project_guid")}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Piece(
            **{**links, "created_at": moment, **change, "piece_id": f"{number} {change['piece_id']}"[:255]},
            component_guid=component.guid,
        )
        for number, change in enumerate(changes)
    ]


@pytest.mark.django_db
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(CHANGES, CHANGES), min_size=1, max_size=4),
    st.sets(st.sampled_from(sorted(VALUES)), min_size=1),
)
def test_created_and_updated_rows_are_those_that_django_makes(pairs: list[Any], fields: set[str]) -> None:
    guids: list[list[uuid.UUID]] = []
    names = sorted(fields)
    for rows in (DJANGO(Piece), Piece.all_objects):
        pieces = new_pieces(ComponentFactory.create(), [before for before, _ in pairs])
        with every_company():
            if rows == Piece.all_objects:
                assert rows.bulk_create(rows_of(pieces, COLUMNS), columns=COLUMNS) == rows_of(pieces, COLUMNS)
            else:
                rows.bulk_create(pieces)
        for number, (piece, (_, after)) in enumerate(zip(pieces, pairs, strict=True)):
            for name in fields:
                setattr(piece, name, after[name])
            piece.piece_id = f"{number} {piece.piece_id}"[:255]
        with every_company():
            if rows == Piece.all_objects:
                names.append("picture_digest")
                assert rows.bulk_update(rows_of(pieces, ["guid", *names]), names) == len(pieces)
            else:
                rows.bulk_update(pieces, names)
        guids.append([piece.guid for piece in pieces])
    assert stored(guids[1]) == stored(guids[0])


@pytest.fixture
def projects(db: None) -> list[Project]:
    """Two projects that are stored, with new codes that are not."""
    stored_projects = ProjectFactory.create_batch(2, company=CompanyFactory.create())
    for number, project in enumerate(stored_projects):
        project.code = f"new {number}"
    return stored_projects


def codes() -> list[str]:
    with every_company():
        return list(Project.all_objects.order_by("guid").values_list("code", flat=True))


def test_rows_are_taken_in_the_order_of_the_columns_that_are_named(projects: list[Project]) -> None:
    before = codes()
    moments = [projects[0].created_at, projects[0].updated_at]
    row = (projects[0].company_guid, "a row", uuid.UUID(int=5), True, *moments)
    columns = ("company_guid", "code", "guid", "is_active", "created_at", "updated_at")
    with every_company():
        assert Project.all_objects.bulk_create([row], columns=columns) == [row]
        assert codes() == ["a row", *before]
        assert Project.all_objects.bulk_update([(row[2], None, "changed")], ["company_name", "code"]) == 1
        assert Project.all_objects.bulk_update([(uuid.UUID(int=6), "nobody")], ["code"]) == 0
    assert codes() == ["changed", *before]


def test_objects_are_left_to_django(projects: list[Project]) -> None:
    upsert = {"update_conflicts": True, "update_fields": ["code"], "unique_fields": ["company", "guid"]}
    with every_company():
        assert Project.all_objects.bulk_create(projects, **upsert) == projects
        assert codes() == ["new 0", "new 1"]
        with pytest.raises(FieldDoesNotExist):
            Project.all_objects.bulk_update(projects, ["nothing"])
        for project in projects:
            project.code = Upper(F("code"))
        assert Project.all_objects.bulk_update(projects, ["code"]) == 2
        assert codes() == ["NEW 0", "NEW 1"]


def test_empty_lists_do_nothing(db: None) -> None:
    with every_company():
        assert Project.all_objects.bulk_create([]) == []
        assert Project.all_objects.bulk_update([], ["code"]) == 0


def test_the_number_of_queries_does_not_depend_on_the_rows(db: None) -> None:
    def queries(size: int) -> int:
        pieces = new_pieces(ComponentFactory.create(), [{"piece_id": "x"}] * size)
        with every_company(), CaptureQueriesContext(connection) as captured:
            Piece.all_objects.bulk_create(rows_of(pieces, COLUMNS), columns=COLUMNS)
            Piece.all_objects.bulk_update(rows_of(pieces, ["guid", "barcode", "cell"]), ["barcode", "cell"])
        return len(captured)

    assert queries(1) == queries(1000)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_what_goes_wrong_while_rows_are_copied_is_an_error_of_django() -> None:
    """Or a connection that is lost in that very moment would be a 500 instead of a 503."""
    piece = new_pieces(ComponentFactory.create(), [{"piece_id": "NUL \0"}])
    with company_scope(piece[0].company_guid), pytest.raises(DataError), transaction.atomic():
        Piece.objects.bulk_create(rows_of(piece, COLUMNS), columns=COLUMNS)
