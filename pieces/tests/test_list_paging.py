"""Following the `Link` of a list to its end: every row once, whatever others write meanwhile."""

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from pieces.models import Piece, Project
from pieces.tests.copies import copies, mixed_copies
from pieces.tests.factories import PieceFactory, ProjectFactory
from pieces.tests.families import Family, path_of
from ractory.api.paging import Key, encode_cursor
from ractory.api.tests.client import Api
from tenants.models import Company
from tenants.scope import every_company

pytestmark = pytest.mark.django_db


def next_address(answer: Any) -> str | None:
    """What the `Link` header names as next; None at the end."""
    link = answer.headers.get("Link")
    if link is None:
        return None
    address, relation = link.split("; ")
    assert relation == 'rel="next"'
    return str(address).removeprefix("<").removesuffix(">")


def follow(reader: Api, address: str | None, meanwhile: Callable[[int], None] = lambda number: None) -> list[str]:
    """The guids of all pages from `address` on; `meanwhile` is called after each page with its number."""
    seen: list[str] = []
    number = 0
    while address:
        answer = reader.get(address)
        assert answer.status_code == 200, answer.content
        seen += [item["guid"] for item in answer.json()]
        address = next_address(answer)
        meanwhile(number := number + 1)
    return seen


def test_the_link_is_absolute_and_keeps_the_other_parameters(reader: Api, family: Family) -> None:
    for _ in range(3):
        PieceFactory.create(assembly=family.assembly, barcode="a b&c=ü")
    path = "/api/v1/pieces/?limit=2&offset=1&barcode=a+b%26c%3D%C3%BC&detail=false&unknown=x"
    assert "Link" not in reader.get(path).headers  # three rows: one skipped, two shown
    address = urlsplit(next_address(reader.get(path.replace("limit=2", "limit=1"))) or "")
    assert (address.scheme, address.netloc, address.path) == ("http", "testserver", "/api/v1/pieces/")
    parameters = parse_qs(address.query)
    assert parameters.pop("cursor")
    assert parameters == {"limit": ["1"], "barcode": ["a b&c=ü"], "detail": ["false"], "unknown": ["x"]}


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_there_is_a_link_exactly_while_there_is_more(reader: Api, company: Company, rows: int) -> None:
    for _ in range(rows):
        ProjectFactory.create(company=company)
    assert ("Link" in reader.get("/api/v1/projects?limit=2").headers) == (rows > 2)
    assert len(set(follow(reader, "/api/v1/projects?limit=2"))) == rows


ORDERINGS = [
    *("", "guid", "-guid", "updated_at", "-updated_at", "piece_id", "-piece_id", "barcode", "-barcode"),
    *(
        "is_active,-barcode",
        "outer_length",
        "-outer_length,barcode",
        "assembly_guid,-deleted_at",
        "created_at,guid,barcode",
    ),
    *("outer_length,barcode,-piece_id", "-is_active,-created_at"),
]


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_pages_of_any_order_are_the_list(reader: Api, family: Family, ordering: str) -> None:
    """With ties, nulls and deleted rows on both sides of every page's edge."""
    with every_company():
        Piece.objects.filter(guid=family.piece.guid).update(barcode=None, outer_length=0)
    mixed_copies(family.piece, 30)
    path = f"/api/v1/pieces?include_inactive=true&ordering={ordering}".removesuffix("&ordering=")
    whole = [item["guid"] for item in reader.get(f"{path}&limit=1000").json()]
    assert len(whole) == 31
    for limit in (1, 7):
        assert follow(reader, f"{path}&limit={limit}") == whole


def test_while_others_write_no_row_comes_twice_and_none_is_missed(reader: Api, family: Family) -> None:
    """10 000 pieces; between the pages some are inserted, changed and deleted, before and after the place."""
    copies(family.piece, 9_999)
    with every_company():
        there_all_along = {str(guid) for guid in Piece.objects.values_list("guid", flat=True)}

    def write(number: int) -> None:
        copies(family.piece, 200, piece_id=f"'new-{number}-' || n")
        with every_company():
            some = list(Piece.objects.order_by("piece_id").values_list("guid", flat=True)[number::37])
            changed, deleted = some[::2], some[1::2]
            Piece.objects.filter(guid__any_of=changed).update(updated_at=timezone.now(), barcode=f"B{number}")
        for guid in deleted[:3]:
            there_all_along.discard(str(guid))
            assert reader.delete(f"/api/v1/pieces/{guid}").status_code == 204

    seen = follow(reader, "/api/v1/pieces?limit=1000", write)
    assert len(seen) == len(set(seen))
    assert there_all_along <= set(seen)
    assert len(seen) > 10_000 - 3 * 11


def test_the_row_that_a_page_ended_with_may_go(reader: Api, company: Company) -> None:
    made = sorted(str(ProjectFactory.create(company=company).guid) for _ in range(4))
    first = reader.get("/api/v1/projects?limit=2")
    assert reader.delete(f"/api/v1/projects/{made[1]}").status_code == 204
    assert follow(reader, next_address(first)) == made[2:]


def test_an_offset_still_works_for_old_clients(reader: Api, company: Company) -> None:
    made = sorted(str(ProjectFactory.create(company=company).guid) for _ in range(5))
    pages = [reader.get(f"/api/v1/projects?limit=2&offset={offset}").json() for offset in (0, 2, 4)]
    assert [[item["guid"] for item in page] for page in pages] == [made[:2], made[2:4], made[4:]]
    assert follow(reader, "/api/v1/projects?limit=2&offset=1") == made[1:]


def test_the_count_does_not_depend_on_the_place(reader: Api, company: Company) -> None:
    for _ in range(5):
        ProjectFactory.create(company=company)
    first = reader.get("/api/v1/projects?limit=2&count=true")
    second = reader.get(next_address(first) or "")
    assert (first.headers["X-Total-Count"], second.headers["X-Total-Count"]) == ("5", "5")


def test_a_cursor_belongs_to_its_ordering(reader: Api, company: Company) -> None:
    for _ in range(2):
        ProjectFactory.create(company=company)
    address = next_address(reader.get("/api/v1/projects?limit=1&ordering=code")) or ""
    answer = reader.get(address.replace("ordering=code", "ordering=-code"))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "cursor"]


GUID = str(uuid.uuid4())


FORGED: list[tuple[str, list[Any]]] = [
    *(("guid", [value]) for value in (None, "x", 1.5, 10**18, True, "")),
    ("guid", []),
    ("guid", [[]]),
    ("guid", [{}]),
    ("guid", [GUID, GUID]),
    *(("code,guid", values) for values in (["a\0", GUID], [None, GUID], ["a" * 256, GUID], [GUID], ["a", None])),
    *(("due_date,guid", [value, GUID]) for value in ("x", 5, "", "2026-99-01", "0001-01-01T00:00:00+23:59")),
    *(("in_production,guid", [value, GUID]) for value in ("perhaps", 7, "")),
]


@pytest.mark.parametrize(("ordering", "values"), FORGED)
def test_a_forged_cursor_is_a_422(reader: Api, family: Family, ordering: str, values: list[Any]) -> None:
    fields = {field.attname: field for field in Project.wire_fields()}
    cursor = encode_cursor([Key(name, fields[name]) for name in ordering.split(",")], values)
    answer = reader.get("/api/v1/projects", {"ordering": ordering, "cursor": cursor})
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [["query", "cursor"]]


@pytest.mark.parametrize(
    "cursor", ["", "x", "%00", "====", "W10", "bnVsbA", "e30", "ü", "WyJndWlkIl0", "A" * 5000, "-_-_"]
)
def test_a_cursor_that_is_none_is_a_422(reader: Api, family: Family, cursor: str) -> None:
    answer = reader.get(f"/api/v1/projects?cursor={cursor}")
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [["query", "cursor"]]


def test_a_number_in_a_cursor_is_checked_too(reader: Api, family: Family) -> None:
    fields = {field.attname: field for field in Piece.wire_fields()}
    keys = [Key("bar_rest", fields["bar_rest"]), Key("guid", fields["guid"])]
    bad: list[Any] = [2**64 - 1, 1e300, "x", [], {}]
    for number in bad:
        query = {"ordering": "bar_rest", "cursor": encode_cursor(keys, [number, GUID])}
        assert reader.get("/api/v1/pieces", query).status_code == 422
    query = {"ordering": "bar_rest", "cursor": encode_cursor(keys, [2**31 - 1, GUID])}
    assert reader.get("/api/v1/pieces", query).json()[0]["guid"] == path_of(family.piece).rpartition("/")[2]
