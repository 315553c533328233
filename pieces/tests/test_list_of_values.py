"""`guid=`, `barcode=`, `piece_id=` with several values: which rows they find, in which order, and what they refuse."""

import uuid

import pytest

from pieces.models import Piece
from pieces.tests.factories import PieceFactory
from pieces.tests.families import KINDS, Family, family_of, list_path
from ractory.api.tests.client import Api
from tenants.models import Company

pytestmark = pytest.mark.django_db

PATH = "/api/v1/pieces"


@pytest.fixture
def pieces(family: Family) -> list[Piece]:
    return [PieceFactory.create(assembly=family.assembly, barcode=f"B{n}", piece_id=f"P{n}") for n in range(5)]


def found(reader: Api, path: str = PATH, **query: str) -> list[str]:
    answer = reader.get(path, query)
    assert answer.status_code == 200, answer.content
    return [item["guid"] for item in answer.json()]


def guids(*pieces: Piece) -> list[str]:
    return [str(piece.guid) for piece in pieces]


@pytest.mark.parametrize("kind", KINDS)
def test_each_list_is_asked_for_some_guids(reader: Api, family: Family, foreign: Family, kind: str) -> None:
    entity, other = family[kind], family_of(family.project.company)[kind]
    family_of(family.project.company)
    path = list_path(entity)
    assert found(reader, path, guid=str(entity.guid)) == [str(entity.guid)]
    sent = f"{other.guid},{entity.guid.hex.upper()},{uuid.uuid4()},{foreign[kind].guid},{entity.guid}"
    assert found(reader, path, guid=sent) == sorted([str(entity.guid), str(other.guid)])
    reader.delete(f"{path}/{entity.guid}")
    assert found(reader, path, guid=sent) == [str(other.guid)]
    assert found(reader, path, guid=sent, include_inactive="true") == sorted([str(entity.guid), str(other.guid)])


@pytest.mark.parametrize(("name", "letter"), [("barcode", "B"), ("piece_id", "P")])
def test_texts_are_found_in_the_order_of_the_list_and_not_of_the_values(
    reader: Api, pieces: list[Piece], name: str, letter: str
) -> None:
    wanted = {name: f"{letter}3,{letter}1,b1,{letter}9,{letter}"}
    assert found(reader, **wanted) == sorted(guids(pieces[1], pieces[3]))
    assert found(reader, **wanted, ordering=f"-{name}") == guids(pieces[3], pieces[1])
    assert found(reader, **wanted, guid=str(pieces[1].guid)) == guids(pieces[1])
    assert reader.get(PATH, {**wanted, "count": "true", "limit": "1"}).headers["X-Total-Count"] == "2"


def test_an_empty_value_finds_the_empty_text_among_others_too(reader: Api, family: Family, pieces: list[Piece]) -> None:
    empty = PieceFactory.create(assembly=family.assembly, barcode="", piece_id="x")
    assert found(reader, barcode="") == guids(empty)
    assert found(reader, barcode="B1,") == sorted(guids(pieces[1], empty))
    assert found(reader, barcode="B1") == guids(pieces[1])


def test_a_text_with_commas_is_found_if_it_comes_alone(reader: Api, family: Family, pieces: list[Piece]) -> None:
    odd = PieceFactory.create(assembly=family.assembly, barcode="100,5", piece_id='{"a,b"}')
    assert found(reader, barcode="100,5") == guids(odd)
    assert found(reader, piece_id='{"a,b"}') == guids(odd)
    assert found(reader, barcode="100,5,B1") == guids(pieces[1])


@pytest.mark.parametrize("text", ["a'b", 'a"b', "a\\b", "{a}", "NULL", "null", "%s", "%(x)s", "ü\u2028", "a b", " "])
def test_what_means_something_to_a_database_is_a_text_like_any_other(reader: Api, family: Family, text: str) -> None:
    PieceFactory.create(assembly=family.assembly, barcode="other")
    odd = PieceFactory.create(assembly=family.assembly, barcode=text)
    assert found(reader, barcode=f"{text},x") == guids(odd)
    assert found(reader, barcode=f"x,{text},{text}") == guids(odd)


def test_a_list_of_200_is_paged_through_and_one_of_201_is_refused(reader: Api, family: Family) -> None:
    pieces = [PieceFactory.create(assembly=family.assembly, barcode=f"B{n}") for n in range(70)]
    PieceFactory.create(assembly=family.assembly, barcode="B-other")
    others = [str(uuid.uuid4()) for _ in range(130)]
    for name, values in (("guid", [*guids(*pieces), *others]), ("barcode", [f"B{n}" for n in range(200)])):
        path, sizes, seen = f"{PATH}?{name}={','.join(values)}&ordering=-updated_at&limit=30", [], []
        while path:
            answer = reader.get(path)
            sizes.append(len(answer.json()))
            seen += [item["guid"] for item in answer.json()]
            link = answer.headers.get("Link", "")
            assert len(link) < 8190 - len("GET  HTTP/1.1")  # the longest address that the server takes
            path = link[link.index("/api/") : link.index(">")] if link else ""
        assert sizes == [30, 30, 10]
        assert sorted(seen) == sorted(guids(*pieces))
        answer = reader.get(PATH, {name: ",".join([*values, values[0]])})
        assert answer.status_code == 422
        (fault,) = answer.json()["detail"]
        assert (fault["loc"], fault["type"]) == (["query", name], "too_long")
        assert fault["msg"].startswith("Input should have at most 200 values, not 201, got ")


@pytest.mark.parametrize(
    ("query", "type", "named"),
    [
        ({"guid": ""}, "uuid_parsing", 'not ""'),
        ({"guid": "{0},x"}, "uuid_parsing", 'not "x"'),
        ({"guid": "{0},{0},"}, "uuid_parsing", 'not ""'),
        ({"guid": "{0};{0}"}, "uuid_parsing", 'not "'),
        ({"guid": "{0}," + "y" * 5000}, "uuid_parsing", 'not "' + "y" * 50),
        ({"barcode": "a,b\0"}, "null_characters_not_allowed", 'not "b'),
        ({"piece_id": "\0"}, "null_characters_not_allowed", 'not "'),
        ({"guid": "," * 5000}, "too_long", "not 5001"),
    ],
)
def test_a_bad_value_is_a_422_that_names_it(
    reader: Api, company: Company, query: dict[str, str], type: str, named: str
) -> None:
    answer = reader.get(PATH, {name: text.replace("{0}", str(uuid.uuid4())) for name, text in query.items()})
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert (fault["loc"], fault["type"]) == (["query", *query], type)
    assert named in fault["msg"]
    assert len(fault["msg"]) < 400
