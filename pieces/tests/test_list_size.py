"""How large an answer may be: a page ends where it is 8 MiB, and its `Link` goes on from there."""

import gc
import tracemalloc
from base64 import b64decode
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.client import ClientHandler
from django.test.utils import CaptureQueriesContext

from pieces import reading
from pieces.models import MAX_PICTURE, Piece
from pieces.reading import largest_row
from pieces.tests.copies import copies, mixed_copies
from pieces.tests.families import Family
from pieces.tests.test_list_paging import ORDERINGS, follow, next_address
from ractory.api.paging import MAX_PAGE_BYTES
from ractory.api.tests.client import Api
from tenants.scope import every_company

pytestmark = pytest.mark.django_db

LARGEST = largest_row(Piece, [field.attname for field in Piece.wire_fields()])


def bytes_of(sizes: str) -> str:
    """SQL for pictures of this many bytes, an SQL expression."""
    return f"convert_to(repeat('x', {sizes}), 'UTF8')" if connection.vendor == "postgresql" else f"zeroblob({sizes})"


def pages_of(reader: Api, path: str) -> list[Any]:
    """The answers of all pages of the list at `path`."""
    answers, address = [], path or None
    while address:
        answers.append(reader.get(address))
        assert answers[-1].status_code == 200, answers[-1].content
        address = next_address(answers[-1])
    return answers


def test_a_page_with_pictures_ends_at_8_mib_and_the_pages_are_the_list(reader: Api, family: Family) -> None:
    sizes = f"(CASE n %% 4 WHEN 0 THEN {MAX_PICTURE} WHEN 1 THEN 100000 WHEN 2 THEN 7 END)"
    copies(family.piece, 250, picture=bytes_of(sizes))
    with every_company():
        pictures = {str(guid): picture for guid, picture in Piece.objects.values_list("guid", "picture")}
    answers = pages_of(reader, "/api/v1/pieces?detail=true&limit=1000&count=true")
    assert len(answers) > 3
    for answer in answers[:-1]:
        assert MAX_PAGE_BYTES - LARGEST < len(answer.content) <= MAX_PAGE_BYTES
    assert len(answers[-1].content) <= MAX_PAGE_BYTES
    assert {answer.headers["X-Total-Count"] for answer in answers} == {"251"}
    items = [item for answer in answers for item in answer.json()]
    assert [item["guid"] for item in items] == sorted(pictures)
    for item in items:
        stored = pictures[item["guid"]]
        assert item["picture"] is None if stored is None else b64decode(item["picture"]) == bytes(stored)


def test_a_page_takes_memory_for_what_it_shows_only(reader: Api, family: Family) -> None:
    """300 pictures are 75 MiB; of them 23 fit into a page."""
    copies(family.piece, 300, picture=bytes_of(str(MAX_PICTURE)))
    reader.get("/api/v1/pieces?detail=true&limit=1")
    tracemalloc.start()
    try:
        answer = reader.get("/api/v1/pieces?detail=true&limit=1000")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(answer.content) <= MAX_PAGE_BYTES
    assert most < 6 * MAX_PAGE_BYTES


def test_an_answer_leaves_the_memory_when_it_has_been_sent(key: str, family: Family) -> None:
    """It would wait for the garbage collector, if it were in a cycle: and that seldom runs for so few objects."""
    copies(family.piece, 40, picture=bytes_of(str(MAX_PICTURE)))
    handler: Any = ClientHandler()  # the client itself would put the answer into a cycle

    def ask() -> int:
        request = RequestFactory().get("/api/v1/pieces", {"detail": "true"}, headers={"X-API-Key": key})
        return len(handler(request.environ).content)

    ask()
    gc.disable()
    tracemalloc.start()
    try:
        sizes = [ask() for _ in range(5)]
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert min(sizes) > MAX_PAGE_BYTES - LARGEST
    assert left < MAX_PAGE_BYTES


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_in_any_order_the_pages_by_size_are_the_list(
    reader: Api, family: Family, ordering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ties, nulls and deleted rows on both sides of the places where a page ends, and an offset before."""
    sizes = "(CASE n %% 5 WHEN 0 THEN 2500 WHEN 1 THEN 9000 WHEN 2 THEN 40000 END)"
    mixed_copies(family.piece, 30, picture=bytes_of(sizes))
    path = f"/api/v1/pieces?include_inactive=true&limit=1000&ordering={ordering}".removesuffix("&ordering=")
    whole = reader.get(f"{path}&fields=guid").json()
    monkeypatch.setattr(reading, "MAX_PAGE_BYTES", 40_000)
    answers = pages_of(reader, f"{path}&detail=true")
    assert len(answers) > 7
    items = [item for answer in answers for item in answer.json()]
    assert [{"guid": item["guid"]} for item in items] == whole
    assert follow(reader, f"{path}&detail=true&offset=7") == [item["guid"] for item in whole][7:]
    assert follow(reader, f"{path}&detail=true".replace("limit=1000", "limit=5")) == [item["guid"] for item in whole]


def test_an_object_that_is_larger_than_a_page_is_a_page(
    reader: Api, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(family.piece, 4)
    monkeypatch.setattr(reading, "MAX_PAGE_BYTES", 1)
    assert [len(answer.json()) for answer in pages_of(reader, "/api/v1/pieces?detail=true")] == [1] * 5
    assert len(follow(reader, "/api/v1/pieces")) == 5


def test_texts_count_as_they_are_written_in_json(reader: Api, family: Family) -> None:
    """A control character is six bytes there: 32 000 of them in a piece, and 90 such pieces are two pages, not one."""
    with every_company():
        fields = {field.attname: field.max_length for field in Piece._meta.fields if field.max_length in (255, 4000)}
        Piece.objects.filter(guid=family.piece.guid).update(
            **{name: "\1" * limit for name, limit in fields.items() if name != "piece_id"}
        )
    copies(family.piece, 89)
    answers = pages_of(reader, "/api/v1/pieces?detail=true")
    assert sum(len(answer.content) for answer in answers) > 2 * MAX_PAGE_BYTES
    assert all(len(answer.content) <= MAX_PAGE_BYTES for answer in answers)
    assert sum(len(answer.json()) for answer in answers) == 90


def test_with_fields_that_leave_the_picture_out_it_is_not_even_measured(reader: Api, family: Family) -> None:
    copies(family.piece, 200, picture=bytes_of(str(MAX_PICTURE)))
    with CaptureQueriesContext(connection) as queries:
        answer = reader.get("/api/v1/pieces?fields=guid,barcode,outer_length&limit=1000")
    assert len(answer.json()) == 201
    assert "Link" not in answer.headers
    assert not [query["sql"] for query in queries if "picture" in query["sql"]]
