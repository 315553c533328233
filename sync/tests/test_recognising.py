"""Items that come again byte for byte: known to be unchanged without being read, and never wrongly."""

import uuid
from typing import Any

import orjson
import pytest

from pieces.models import LEVELS, Component, Entity
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory
from ractory.api.tests.client import Api
from sync.schemas import parse
from sync.tests.batches import (
    Item,
    Sync,
    actions,
    all_rows,
    assembly_item,
    component_item,
    faults,
    full_piece,
    piece_item,
    project_item,
    row_of,
)
from tenants.models import Company
from tenants.tests.factories import issue_key

REPRESENTATION = {"prefer": "return=representation"}
SIZE = 40  # more than are tried first


@pytest.fixture
def pieces(component: Component) -> list[Item]:
    return [full_piece(component, number) for number in range(SIZE)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each request had to decode."""
    counts: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        batch = parse(*args, **options)
        counts.append(len(batch.items))
        return batch

    monkeypatch.setattr("sync.submission.parse", counted)
    return counts


@pytest.mark.parametrize("model", LEVELS)
def test_the_same_bytes_are_not_decoded_again(
    sync: Sync, component: Component, read: list[int], model: type[Entity]
) -> None:
    items = {
        "project": project_item(component.company),
        "component": component_item(component.project),
        "assembly": assembly_item(component),
        "piece": piece_item(component),
    }
    item = items[model.kind.value] | {"guid": uuid.uuid4()}
    assert sync(model.plural, item).json() == {"inserted": 1, "updated": 0}
    before = all_rows()
    assert sync(model.plural, item).json() == {"inserted": 0, "updated": 1}
    assert read == [1, 0]
    assert all_rows() == before


def test_bytes_that_found_their_row_by_its_piece_id_are_not_recognised(sync: Sync, component: Component) -> None:
    """Without `match` they mean another row: the guid that seems to stand in them is not the one that is decoded."""
    piece = PieceFactory.create(component=component, assembly=None, piece_id="1")
    item = orjson.dumps(piece_item(component, cell="x"))
    twice = b'{"guid":"%b",%b,"guid":null}' % (str(piece.guid).encode(), item[1:-1])
    nested = b'{"created_at":{"guid":"%b"},%b' % (str(piece.guid).encode(), item[1:])
    for number, sent in enumerate((twice, nested)):
        body = b'{"pieces":[%b]}' % sent.replace(b'"x"', b'"%d"' % number)
        assert sync.api.post_raw("/api/v1/sync/pieces?match=piece_id", body).json() == {"inserted": 0, "updated": 1}
        assert row_of("piece", piece.guid).cell == str(number)
        for spelling in (body, body.replace(b":[", b": [")):
            answer = sync.api.post_raw("/api/v1/sync/pieces", spelling)
            assert faults(answer) == [("pieces", 0, "piece_id")]


def test_what_hides_behind_a_list_that_stands_twice_must_be_json_too(sync: Sync, component: Component) -> None:
    item = orjson.dumps(piece_item(component, guid=uuid.uuid4()))
    assert sync.api.post_raw("/api/v1/sync/pieces", b'{"pieces":[%b]}' % item).status_code == 200
    for hidden, status in ((b"x", 200), (b"\xff", 400)):
        body = b'{"pieces":[{"x":"%b"}],"pieces":[%b]}' % (hidden, item)
        assert sync.api.post_raw("/api/v1/sync/pieces", body).status_code == status


def test_a_guid_is_looked_for_where_the_decoder_finds_it(
    sync: Sync, component: Component, read: list[int], pieces: list[Item]
) -> None:
    """One in a nested object, or the first of two, names a row that these bytes have not written."""
    sync("pieces", *pieces)
    other = str(pieces[0]["guid"]).encode()
    for number, item in enumerate(pieces[1:3]):
        rest = orjson.dumps(item | {"cell": "new"})[1:]
        body = b'{"pieces":[%b]}' % ((b'{"created_at":{"guid":"%b"},%b', b'{"guid":"%b",%b')[number] % (other, rest))
        for _ in range(2):
            assert sync.api.post_raw("/api/v1/sync/pieces", body).json() == {"inserted": 0, "updated": 1}
        assert row_of("piece", item["guid"]).cell == "new"
    assert read[-4:] == [1, 0, 1, 0]


def test_only_what_is_new_is_decoded_and_each_item_keeps_its_place(
    sync: Sync, component: Component, pieces: list[Item], read: list[int]
) -> None:
    sync("pieces", *pieces)
    pieces[3] |= {"cell": "changed"}
    pieces[20] = full_piece(component, 1000)
    pieces[SIZE - 1] |= {"is_active": False}
    answer = sync("pieces", *pieces, **REPRESENTATION)
    expected = ["unchanged"] * SIZE
    expected[3], expected[20], expected[SIZE - 1] = "updated", "inserted", "deleted"
    assert actions(answer) == expected
    assert [item["guid"] for item in answer.json()["items"]] == [str(item["guid"]) for item in pieces]
    assert (answer.json()["inserted"], answer.json()["updated"]) == (1, SIZE - 1)
    assert read == [SIZE, 3]


def test_the_receipt_counts_every_item(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    pieces[3] |= {"cell": "changed"}
    run = sync.api.get(f"/api/v1/sync/runs/{sync('pieces', *pieces)['X-Sync-Run']}").json()
    assert (run["received"], run["updated"], run["unchanged"]) == (SIZE, SIZE, SIZE - 1)


def test_a_dry_run_recognises_too(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    assert sync("pieces", *pieces, query="?dry_run=true").json() == {"inserted": 0, "updated": SIZE, "dry_run": True}


def test_a_deleted_piece_comes_back_by_the_same_bytes(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    sync.api.delete(f"/api/v1/pieces/{pieces[5]['guid']}")
    assert actions(sync("pieces", *pieces, **REPRESENTATION)).count("restored") == 1
    assert row_of("piece", pieces[5]["guid"]).is_active


def test_the_bytes_before_the_last_change_put_the_piece_back(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    sync("pieces", pieces[0] | {"cell": "elsewhere"})
    assert actions(sync("pieces", *pieces, **REPRESENTATION))[0] == "updated"
    assert row_of("piece", pieces[0]["guid"]).cell == pieces[0]["cell"]


def test_a_piece_that_was_carried_along_is_put_back(sync: Sync, component: Component) -> None:
    assembly = AssemblyFactory.create(component=component)
    other = ComponentFactory.create(project=component.project)
    item = full_piece(assembly)
    sync("pieces", item)
    sync("assemblies", assembly_item(other, guid=assembly.guid))
    assert row_of("piece", item["guid"]).component_guid == other.guid
    assert faults(sync("pieces", item)) == [("pieces", 0, "assembly_guid")]


def test_a_partial_item_is_recognised_until_something_else_is_said(sync: Sync, component: Component) -> None:
    item = full_piece(component)
    partial = piece_item(component, guid=item["guid"], piece_id=item["piece_id"], cell="A")
    sync("pieces", item)
    assert actions(sync("pieces", partial, **REPRESENTATION)) == ["updated"]
    assert actions(sync("pieces", partial, **REPRESENTATION)) == ["unchanged"]
    sync("pieces", item)
    assert actions(sync("pieces", partial, **REPRESENTATION)) == ["updated"]


def test_faults_of_the_others_stand_at_their_place_in_the_whole_body(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    before = all_rows()
    pieces[7] |= {"outer_length": "abc"}
    pieces[30] |= {"cell": 1}
    assert faults(sync("pieces", *pieces)) == [("pieces", 7, "outer_length"), ("pieces", 30, "cell")]
    pieces[7] |= {"outer_length": 1}
    pieces[30] |= {"cell": "A", "project_guid": uuid.uuid4()}
    assert faults(sync("pieces", *pieces))[0] == ("pieces", 30, "project_guid")
    pieces[30] |= {"company_guid": uuid.uuid4()}
    assert "pieces[30]" in sync("pieces", *pieces).json()["detail"]
    assert all_rows() == before


def test_a_piece_id_that_a_recognised_piece_has_is_taken(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    pieces[9] |= {"piece_id": pieces[4]["piece_id"]}
    answer = sync("pieces", *pieces)
    assert faults(answer) == [("pieces", 9, "piece_id")]
    assert str(pieces[4]["guid"]) in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("written", [str.lower, str.upper, lambda guid: guid.replace("-", "")])
def test_the_same_guid_twice_is_a_fault_however_it_is_written(sync: Sync, pieces: list[Item], written: Any) -> None:
    sync("pieces", *pieces)
    again = pieces[4] | {"guid": written(str(pieces[4]["guid"])), "cell": "B"}
    assert faults(sync("pieces", *pieces, again)) == [("pieces", SIZE, "guid")]


def test_unknown_fields_are_named_each_time(sync: Sync, pieces: list[Item]) -> None:
    pieces[0] |= {"colour": "red"}
    for _ in range(2):
        assert sync("pieces", *pieces)["X-Ignored-Fields"] == "colour"
    assert faults(sync("pieces", *pieces, prefer="handling=strict")) == [("pieces", 0, "colour")]


def test_broken_bytes_beside_known_ones_are_refused_as_a_whole(sync: Sync, pieces: list[Item]) -> None:
    sync("pieces", *pieces)
    body = orjson.dumps({"pieces": pieces}).replace(b'"cell":"cell 7"', b'"cell":"\xff"')
    answer = sync.api.post_raw("/api/v1/sync/pieces", body)
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["detail"]


def test_another_companys_bytes_are_not_recognised(
    sync: Sync, pieces: list[Item], other_company: Company, read: list[int]
) -> None:
    sync("pieces", *pieces)
    stranger = Sync(Api().with_key(issue_key(other_company)))
    assert stranger("pieces", *pieces).status_code == 403
    assert read == [SIZE, SIZE]
