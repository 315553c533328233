"""`GET /` of the four entities: shapes, filters, ordering, and what a bad query is told."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.filters import sortable_fields
from pieces.models import LEVELS, Entity
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from pieces.tests.families import KINDS, Family, family_of, list_path, path_of
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

pytestmark = pytest.mark.django_db

SHORT_PIECE = [
    *("guid", "piece_id", "project_guid", "component_guid", "assembly_guid", "barcode", "outer_length"),
    *("angle_left", "angle_right", "is_active", "deleted_at", "company_guid", "created_at", "updated_at"),
]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def guids(reader: Api, path: str, **query: str) -> list[str]:
    answer = reader.get(path, query)
    assert answer.status_code == 200, answer.content
    return [item["guid"] for item in answer.json()]


def of(*entities: Entity) -> list[str]:
    return sorted(str(entity.guid) for entity in entities)


# --- Shapes -----------------------------------------------------------------------------------


def test_a_short_piece_is_the_contract_s(reader: Api, family: Family) -> None:
    (piece,) = reader.get("/api/v1/pieces").json()
    assert list(piece) == SHORT_PIECE
    assert piece["piece_id"] == family.piece.piece_id
    assert piece["assembly_guid"] == str(family.assembly.guid)


@pytest.mark.parametrize("model", LEVELS[:3], ids=KINDS[:3])
def test_the_other_short_objects_are_all_but_picture_and_counts(
    reader: Api, family: Family, model: type[Entity]
) -> None:
    (item,) = reader.get(list_path(model)).json()
    assert list(item) == [field.attname for field in model.wire_fields() if field.attname != "picture"]


@pytest.mark.parametrize("kind", KINDS)
def test_with_detail_a_list_has_the_full_objects(reader: Api, family: Family, kind: str) -> None:
    family_of(family.project.company)
    listed = reader.get(list_path(family[kind]), {"detail": "true"}).json()
    assert listed == [reader.get(f"{list_path(family[kind])}/{item['guid']}").json() for item in listed]
    assert len(listed) == 2


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_an_empty_list_is_an_empty_array(reader: Api, foreign: Family, model: type[Entity]) -> None:
    for query in ({}, {"detail": "true", "count": "true"}):
        answer = reader.get(list_path(model), query)
        assert (answer.status_code, answer.json()) == (200, [])
        assert "Link" not in answer.headers


# --- Filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parents_filter(reader: Api, family: Family, kind: str) -> None:
    family_of(family.project.company)
    item = family[kind]
    for parent in item.parents:
        assert guids(reader, list_path(item), **{f"{parent}_guid": str(family[parent].guid)}) == of(item)
    every = {f"{parent}_guid": str(family[parent].guid) for parent in item.parents}
    assert len(guids(reader, list_path(item), **every)) == (1 if every else 2)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_parent_that_is_not_there_is_a_404(reader: Api, family: Family, foreign: Family, kind: str) -> None:
    for parent in family[kind].parents:
        for guid in (uuid.uuid4(), foreign[parent].guid):
            answer = reader.get(list_path(family[kind]), {f"{parent}_guid": str(guid)})
            assert answer.status_code == 404
            assert str(guid) in answer.json()["detail"]


def test_a_deleted_parent_is_there_with_include_inactive_only(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.component))
    query = {"component_guid": str(family.component.guid)}
    assert reader.get("/api/v1/pieces", query).status_code == 404
    assert guids(reader, "/api/v1/pieces", include_inactive="true", **query) == of(family.piece)


def test_parents_that_do_not_fit_each_other_are_a_400(reader: Api, family: Family) -> None:
    other = family_of(family.project.company)
    for upper, lower in (("project", "component"), ("project", "assembly"), ("component", "assembly")):
        query = {f"{upper}_guid": str(family[upper].guid), f"{lower}_guid": str(other[lower].guid)}
        answer = reader.get("/api/v1/pieces", query)
        assert answer.status_code == 400
        assert isinstance(answer.json()["detail"], str)
    query = {"project_guid": str(family.project.guid), "component_guid": str(other.component.guid)}
    assert reader.get("/api/v1/assemblies", query).status_code == 400


@pytest.mark.parametrize("name", ["piece_id", "barcode", "profile_code", "trolley", "trolley_cell"])
def test_a_named_field_of_a_piece_matches_exactly(reader: Api, family: Family, name: str) -> None:
    values = ["Ab-1", "ab-1", "Ab-10", " Ab-1", "", "50%_ ü"]
    pieces = {value: PieceFactory.create(assembly=family.assembly, **{name: value}) for value in values}
    for value, piece in pieces.items():
        assert guids(reader, "/api/v1/pieces", **{name: value}) == of(piece)
    assert guids(reader, "/api/v1/pieces", **{name: "Ab"}) == []


@pytest.mark.parametrize("path", ["/api/v1/projects", "/api/v1/components"])
def test_code_matches_exactly_and_search_a_part_of_it(reader: Api, company: Company, path: str) -> None:
    factory = ProjectFactory if "projects" in path else ComponentFactory
    first, second = (factory.create(company=company, code=code) for code in ("Window 7", "window 70"))
    assert guids(reader, path, code="Window 7") == of(first)
    assert guids(reader, path, search="WINDOW 7") == of(first, second)
    assert guids(reader, path, search="70") == of(second)
    assert guids(reader, path, search="% 7") == []
    assert guids(reader, path, search="dow_7") == []


def test_search_looks_into_several_texts(reader: Api, company: Company) -> None:
    by_customer = ProjectFactory.create(company=company, company_name="Müller Ltd")
    by_name = ComponentFactory.create(project=by_customer, designation="Balcony door")
    assert guids(reader, "/api/v1/projects", search="LLER l") == of(by_customer)
    assert guids(reader, "/api/v1/components", search="DOOR") == of(by_name)
    names = ["piece_id", "barcode", "profile_code", "profile_name", "component_code", "component_description"]
    names += ("component_number", "project_number", "client", "trolley", "trolley_cell")
    pieces = [PieceFactory.create(component=by_name, assembly=None, **{name: f"x NeedLe {name}"}) for name in names]
    PieceFactory.create(component=by_name, assembly=None, operations="needle")
    assert guids(reader, "/api/v1/pieces", search="needle") == of(*pieces)


def test_an_empty_search_finds_everything(reader: Api, family: Family) -> None:
    assert guids(reader, "/api/v1/pieces", search="") == of(family.piece)


def test_filters_narrow_each_other(reader: Api, family: Family) -> None:
    piece = PieceFactory.create(assembly=family.assembly, barcode="B1", trolley="T1")
    PieceFactory.create(assembly=family.assembly, barcode="B1", trolley="T2")
    assert guids(reader, "/api/v1/pieces", barcode="B1", trolley="T1") == of(piece)


def test_updated_since_includes_the_moment_itself(reader: Api, company: Company) -> None:
    before, at, after = (
        ProjectFactory.create(company=company, updated_at=NOON + timedelta(microseconds=shift)) for shift in (-1, 0, 1)
    )
    for text in ("2026-03-01T12:00:00Z", "2026-03-01T12:00", "2026-03-01 12:00:00", "2026-03-01T14:00:00+02:00"):
        assert guids(reader, "/api/v1/projects", updated_since=text) == of(at, after)
    assert guids(reader, "/api/v1/projects", updated_since="2026-03-01") == of(before, at, after)
    assert guids(reader, "/api/v1/projects", updated_since="2026-03-02") == []
    unquoted = reader.get("/api/v1/projects?updated_since=2026-03-01T14:00:00+02:00")  # the + is a space
    assert len(unquoted.json()) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_ones_are_listed_with_include_inactive_only(reader: Api, family: Family, kind: str) -> None:
    other = family_of(family.project.company)
    reader.delete(path_of(family[kind]))
    path = list_path(family[kind])
    assert guids(reader, path) == of(other[kind])
    assert guids(reader, path, include_inactive="TRUE") == of(family[kind], other[kind])


def test_unknown_parameters_are_ignored(reader: Api, family: Family) -> None:
    assert guids(reader, "/api/v1/projects", colour="blue", piece_id="x") == of(family.project)


# --- Whose ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_caller_sees_the_own_company(api: Api, family: Family, foreign: Family, kind: str) -> None:
    path, company = list_path(family[kind]), family.project.company
    assert api.get(path).status_code == 401
    for role in set(Role) - {Role.SYSTEM_ADMIN}:
        api.with_user(UserFactory.create(company=company, role=role))
        assert guids(api, path) == of(family[kind])
        assert guids(api, path, company_guid=str(company.guid)) == of(family[kind])
        assert api.get(path, {"company_guid": str(foreign.project.company_guid)}).status_code == 403
    api.with_user(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN))
    assert guids(api, path) == of(family[kind], foreign[kind])
    assert guids(api, path, company_guid=str(company.guid)) == of(family[kind])
    assert api.get(path, {"company_guid": str(uuid.uuid4())}).status_code == 404
    api.credentials()
    assert guids(api.with_key(issue_key(company, "sync:read")), path) == of(family[kind])


# --- Order, limit, count ----------------------------------------------------------------------


def test_the_order_is_that_of_the_guids_unless_told(reader: Api, company: Company) -> None:
    made = [ProjectFactory.create(company=company, guid=uuid.uuid4(), code="same") for _ in range(20)]
    assert guids(reader, "/api/v1/projects") == of(*made)
    assert guids(reader, "/api/v1/projects", ordering="code") == of(*made)
    assert guids(reader, "/api/v1/projects", ordering="-code") == of(*made)[::-1]


def test_ordering_by_several_fields_with_nulls_last(reader: Api, family: Family) -> None:
    reader.delete(path_of(family.piece))
    values = [("b", 1), ("a", 2), ("a", 10), ("a", None), (None, 1)]
    pieces = [PieceFactory.create(assembly=family.assembly, barcode=text, bar_rest=n) for text, n in values]

    def ordered(ordering: str) -> list[int]:
        found = guids(reader, "/api/v1/pieces", ordering=ordering)
        return [found.index(str(piece.guid)) for piece in pieces]

    assert ordered("barcode,bar_rest") == [3, 0, 1, 2, 4]
    assert ordered("barcode,-bar_rest") == [3, 1, 0, 2, 4]
    assert ordered("-barcode,bar_rest") == [0, 1, 2, 3, 4]
    assert ordered("-bar_rest,-barcode")[1:4] == [1, 0, 4]


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_every_short_field_can_be_ordered_by(reader: Api, family: Family, model: type[Entity]) -> None:
    names = sortable_fields(model)
    for name in names:
        assert guids(reader, list_path(model), ordering=f"-{name}") == of(family[model.kind.value])
    left_out = {field.attname for field in model.wire_fields()} - set(names)
    long = {"operations", "hardware_info", "glass_info", "info2", "info3", "project_description"}
    assert left_out == {"project": set(), "piece": {"picture", *long}}.get(model.kind, {"picture"})


def test_limit_and_offset_cut_the_list(reader: Api, company: Company) -> None:
    found = of(*(ProjectFactory.create(company=company) for _ in range(5)))
    assert guids(reader, "/api/v1/projects", limit="2") == found[:2]
    assert guids(reader, "/api/v1/projects", limit="2", offset="3") == found[3:]
    assert guids(reader, "/api/v1/projects", offset="5") == []
    assert guids(reader, "/api/v1/projects", offset="2147483647") == []


def test_a_hundred_unless_told(reader: Api, company: Company) -> None:
    for _ in range(101):
        ProjectFactory.create(company=company)
    assert len(guids(reader, "/api/v1/projects")) == 100
    assert len(guids(reader, "/api/v1/projects", limit="1000")) == 101


def test_the_count_is_of_all_that_the_filters_leave(reader: Api, family: Family) -> None:
    for _ in range(4):
        PieceFactory.create(assembly=family.assembly, barcode="B")
    answer = reader.get("/api/v1/pieces", {"count": "true", "barcode": "B", "limit": "1", "offset": "2"})
    assert (answer.headers["X-Total-Count"], len(answer.json())) == ("4", 1)
    assert "X-Total-Count" not in reader.get("/api/v1/pieces", {"count": "false"}).headers


# --- Bad values -------------------------------------------------------------------------------

BAD: list[tuple[str, str]] = [
    *(("limit", text) for text in ("0", "1001", "-1", "", "x", "1.5", "1e2", str(10**30), "9" * 5000, "\0", "١")),
    *(("offset", text) for text in ("-1", "", "x", str(10**30), "2147483648", "NaN")),
    *((name, text) for name in ("include_inactive", "detail", "count") for text in ("", "yes", "2", "tru\0")),
    *((f"{name}_guid", text) for name in ("company", *KINDS[:3]) for text in ("", "x", "1" * 31, "\0" * 32, "\ud800")),
    *(("updated_since", text) for text in ("", "x", "2026", "2026-13-01", "0000-01-01", "10000-01-01", "12:00", "\0")),
    *(("updated_since", text) for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", str(10**30))),
    *(("updated_since", text) for text in ("1" * 7900, "T" * 7900, "2026-05-01T10:00:00." + "1" * 7000, "20260501")),
    *(("updated_since", text) for text in ("2026-05-01x10:00", "2026-05-01Z", "2026-W18-5", "2026-05-01T10:00:00Zx")),
    *((f"{name}_guid", "-" * 7000 + "1" * 32) for name in ("company", "project")),
    *(("ordering", text) for text in ("", "x", "-", "guid,", "code,code", "picture", "operations", "company", "pk")),
    *(
        ("ordering", text)
        for text in ("guid\0", "--guid", "?", "project__code", "digest", "deletion_guid", "guid,-guid")
    ),
    ("ordering", "angle_left,angle_right,bar_id,bar_rest,barcode"),
    *((name, "a\0b") for name in ("piece_id", "barcode", "profile_code", "trolley", "trolley_cell", "search")),
    ("search", "x" * 256),
]


@pytest.mark.parametrize(("name", "text"), BAD, ids=lambda text: ascii(text)[:40])
def test_a_bad_value_is_a_422_that_names_it(reader: Api, family: Family, name: str, text: str) -> None:
    answer = reader.get("/api/v1/pieces", {name: text.encode(errors="surrogatepass")})
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["query", name]
    assert set(fault) == {"loc", "msg", "type"}
    assert "got " in fault["msg"]
    if text.isprintable() and text.isascii():
        assert text[:60] in fault["msg"]


def test_all_bad_values_are_told_at_once(reader: Api) -> None:
    query = {"limit": "0", "offset": "x", "company_guid": "y", "project_guid": "z", "ordering": "w", "count": "v"}
    faults = reader.get("/api/v1/pieces", query).json()["detail"]
    assert {fault["loc"][1] for fault in faults} == set(query)
    assert {fault["type"] for fault in faults} == {
        *("int_range", "int_parsing", "uuid_parsing", "ordering_unknown", "bool_parsing")
    }


STRANGE = ["%", "%00", "%ED%A0%80", "%FF", "[]", "{}", "null", "-0", "+1", " 1", "0x10", "1_0", "😀", "'\"\\;--"]


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_no_value_of_any_parameter_breaks_the_server(
    reader: Api, family: Family, model: type[Entity], text: str
) -> None:
    names: list[Any] = ["limit", "offset", "count", "detail", "include_inactive", "company_guid", "cursor", "ordering"]
    names += ["updated_since", "search", "code", "barcode", "piece_id", *(f"{kind}_guid" for kind in KINDS)]
    for name in names:
        assert reader.get(f"{list_path(model)}?{name}={text}").status_code in (200, 404, 422)
    assert reader.get(f"{list_path(model)}?{'&'.join(f'{name}={text}' for name in names)}").status_code == 422
    assert reader.get(f"{list_path(model)}?{'&'.join(f'a{n}=1' for n in range(1001))}").status_code in (200, 400)


def test_a_picture_is_not_read_where_it_is_not_shown(reader: Api, family: Family) -> None:
    for model in LEVELS[1:]:
        with CaptureQueriesContext(connection) as queries:
            reader.get(list_path(model))
        assert not [query["sql"] for query in queries if "picture" in query["sql"]]
    assert "picture" in reader.get("/api/v1/pieces", {"detail": "true"}).json()[0]


def test_assemblies_of_a_component_are_in_its_order(reader: Api, family: Family) -> None:
    more = [AssemblyFactory.create(component=family.component) for _ in range(3)]
    found = guids(reader, "/api/v1/assemblies", component_guid=str(family.component.guid))
    assert found == of(family.assembly, *more)
