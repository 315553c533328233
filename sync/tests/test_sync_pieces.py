"""What one item of `POST /api/v1/sync/pieces` means: insert, update, omitted and null, unchanged, options."""

import base64
import gzip
import uuid
from datetime import timedelta
from typing import Any

import orjson
import pytest

from pieces.models import MAX_PICTURE, Component, Piece
from pieces.tests.factories import AssemblyFactory, PieceFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Item, Sync, actions, all_rows, faults, full_piece, piece_item, row_of, scalar_fields
from tenants.models import Company
from tenants.scope import every_company

REPRESENTATION = {"prefer": "return=representation"}


def seed_batch(component: Component) -> list[dict[str, Any]]:
    """The seed's example request, in this company."""
    assembly = AssemblyFactory.create(component=component)
    first = piece_item(assembly, guid="423e4567-e89b-12d3-a456-426614174004", piece_id="PCE-001-001")
    second = piece_item(component, piece_id="PCE-001-002", barcode="BARCODE002", outer_length=1250)
    return [first | {"barcode": "BARCODE001", "outer_length": 1200, "profile_code": "XPS-01"}, second]


def test_the_seeds_example_inserts_both_when_the_guid_is_new(sync: Sync, component: Component) -> None:
    response = sync("pieces", *seed_batch(component))
    assert response.json() == {"inserted": 2, "updated": 0}
    with every_company():
        assert set(Piece.objects.values_list("barcode", flat=True)) == {"BARCODE001", "BARCODE002"}


def test_the_seeds_example_updates_one_when_the_guid_exists(sync: Sync, component: Component) -> None:
    first, second = seed_batch(component)
    PieceFactory.create(guid=uuid.UUID(first["guid"]), component=component, piece_id="old")
    assert sync("pieces", first, second).json() == {"inserted": 1, "updated": 1}
    assert row_of("piece", first["guid"]).piece_id == "PCE-001-001"


def test_every_field_is_stored_and_comes_back(sync: Sync, component: Component) -> None:
    item = full_piece(component, 7, picture=base64.b64encode(b"picture").decode())
    assert sync("pieces", item).json() == {"inserted": 1, "updated": 0}
    row = row_of("piece", item["guid"])
    assert {name: getattr(row, name) for name in scalar_fields(Piece)} == {n: item[n] for n in scalar_fields(Piece)}
    assert (bytes(row.picture), row.is_active, row.deleted_at, row.company_guid) == (
        b"picture",
        True,
        None,
        component.company_guid,
    )


def test_an_empty_batch_is_a_success(sync: Sync) -> None:
    assert sync("pieces").json() == {"inserted": 0, "updated": 0}


def test_an_omitted_field_keeps_its_value_and_null_clears_it(sync: Sync, component: Component) -> None:
    item = full_piece(component, picture=base64.b64encode(b"picture").decode())
    sync("pieces", item)
    changes = {"guid": item["guid"], "piece_id": item["piece_id"], "cell": None, "trolley": "", "bar_rest": 5}
    sync("pieces", piece_item(component, **changes))
    row = row_of("piece", item["guid"])
    expected = {name: item[name] for name in scalar_fields(Piece)} | {"cell": None, "trolley": "", "bar_rest": 5}
    assert {name: getattr(row, name) for name in scalar_fields(Piece)} == expected
    assert bytes(row.picture) == b"picture"
    sync("pieces", piece_item(component, guid=item["guid"], piece_id=item["piece_id"], picture=None))
    assert row_of("piece", item["guid"]).picture is None


def test_a_null_guid_or_is_active_is_as_good_as_none(sync: Sync, component: Component) -> None:
    response = sync("pieces", piece_item(component, guid=None, is_active=None), **REPRESENTATION)
    assert actions(response) == ["inserted"]
    assert row_of("piece", response.json()["items"][0]["guid"]).is_active


def test_an_equal_item_is_counted_as_updated_but_not_written(sync: Sync, component: Component) -> None:
    whole = full_piece(component, picture=base64.b64encode(b"picture").decode())
    part = piece_item(component, guid=uuid.uuid4(), piece_id="part", barcode="b")
    sync("pieces", whole, part)
    before = all_rows()
    del whole["picture"], part["barcode"]
    response = sync("pieces", whole, part, **REPRESENTATION)
    assert actions(response) == ["unchanged", "unchanged"]
    assert (response.json()["inserted"], response.json()["updated"]) == (0, 2)
    assert all_rows() == before


def test_only_a_changed_row_gets_a_new_updated_at(sync: Sync, component: Component) -> None:
    one, two = full_piece(component, 1), full_piece(component, 2)
    sync("pieces", one, two)
    before = {guid: row_of("piece", guid) for guid in (one["guid"], two["guid"])}
    assert actions(sync("pieces", one, two | {"cell": "new"}, **REPRESENTATION)) == ["unchanged", "updated"]
    after = {guid: row_of("piece", guid) for guid in before}
    assert after[one["guid"]].updated_at == before[one["guid"]].updated_at
    assert after[two["guid"]].updated_at > before[two["guid"]].updated_at
    assert after[two["guid"]].created_at == before[two["guid"]].created_at


def test_numbers_are_taken_as_whole_floats_and_numeric_strings(sync: Sync, component: Component) -> None:
    item = piece_item(component, guid=uuid.uuid4(), outer_length=1200.0, inner_length="1200", angle_left="-45.0")
    sync("pieces", item)
    row = row_of("piece", item["guid"])
    assert (row.outer_length, row.inner_length, row.angle_left) == (1200, 1200, -45)


def test_limits_themselves_are_allowed(sync: Sync, component: Component) -> None:
    item = piece_item(
        component,
        guid=uuid.uuid4(),
        barcode="ä" * 255,
        operations="→" * 4000,
        outer_length=2**31 - 1,
        inner_length=-(2**31),
        picture=base64.b64encode(b"\xff" * MAX_PICTURE).decode(),
    )
    assert sync("pieces", item).json() == {"inserted": 1, "updated": 0}
    row = row_of("piece", item["guid"])
    assert (len(row.barcode), len(row.operations), len(row.picture)) == (255, 4000, MAX_PICTURE)
    assert (row.outer_length, row.inner_length) == (2**31 - 1, -(2**31))


def test_a_dry_run_answers_in_full_and_writes_nothing(sync: Sync, component: Component) -> None:
    known = full_piece(component, 1)
    sync("pieces", known)
    before = all_rows()
    batch = [known | {"cell": "x"}, full_piece(component, 2)]
    response = sync("pieces", *batch, query="?dry_run=true", **REPRESENTATION)
    assert response.json().items() >= {"inserted": 1, "updated": 1, "dry_run": True}.items()
    assert actions(response) == ["updated", "inserted"]
    assert all_rows() == before
    assert faults(sync("pieces", full_piece(component, 3, bar_rest="x"), query="?dry_run=true"))


def test_the_representation_names_index_and_guid(sync: Sync, component: Component) -> None:
    item = full_piece(component, 1)
    items = sync("pieces", item, piece_item(component), **REPRESENTATION).json()["items"]
    assert items[0] == {"index": 0, "guid": str(item["guid"]), "action": "inserted"}
    assert items[1]["index"] == 1
    assert row_of("piece", items[1]["guid"]).piece_id == "1"


def test_generated_guids_are_uuid7(sync: Sync, component: Component) -> None:
    items = sync("pieces", piece_item(component), **REPRESENTATION).json()["items"]
    assert uuid.UUID(items[0]["guid"]).version == 7


def test_ignored_fields_are_named_and_read_only_ones_are_not(sync: Sync, component: Component) -> None:
    moments = dict.fromkeys(("created_at", "updated_at", "deleted_at"), "x")
    extra = {"colour": {"a": [1]}, "line\nbreak": 1}
    response = sync("pieces", piece_item(component, **moments, **extra))
    assert response.json() == {"inserted": 1, "updated": 0}
    assert response["X-Ignored-Fields"] == "colour, line%0Abreak"
    assert "X-Ignored-Fields" not in sync("pieces", piece_item(component, piece_id="2", **moments))


def test_strict_handling_refuses_unknown_fields_beside_all_other_faults(sync: Sync, component: Component) -> None:
    batch = [
        piece_item(component, piece_id="1", colour=1, bar_rest="x", created_at="x"),
        piece_item(component, piece_id="2", size=1),
    ]
    response = sync("pieces", *batch, prefer="handling=strict")
    assert faults(response) == [("pieces", 0, "bar_rest"), ("pieces", 0, "colour"), ("pieces", 1, "size")]


def test_strict_handling_refuses_a_parameter_with_a_typing_error(sync: Sync, component: Component) -> None:
    query = f"?dryrun=true&company_guid={component.company_guid}"
    response = sync("pieces", piece_item(component), query=query, prefer="handling=strict")
    assert faults(response) == [("dryrun",)]
    assert sync("pieces", piece_item(component), query="?utm=x").status_code == 200


def test_match_by_piece_id_updates_the_active_piece_of_the_project(sync: Sync, component: Component) -> None:
    there = full_piece(component, 1)
    sync("pieces", there)
    matched = piece_item(component, piece_id="piece-1", cell="new")
    new = piece_item(component, piece_id="piece-2")
    response = sync("pieces", matched, new, query="?match=piece_id", **REPRESENTATION)
    assert actions(response) == ["updated", "inserted"]
    assert response.json()["items"][0]["guid"] == str(there["guid"])
    assert row_of("piece", there["guid"]).cell == "new"
    twice = sync("pieces", matched, matched, query="?match=piece_id")
    assert faults(twice) == [("pieces", 1, "guid")]


def test_a_tombstone_that_matches_nothing_is_unchanged_however_often_it_is_sent(
    sync: Sync, component: Component
) -> None:
    item = piece_item(component, is_active=False)
    before = all_rows()
    for _ in range(2):
        answer = sync("pieces", item, query="?match=piece_id", **REPRESENTATION)
        assert answer.json() == {
            "inserted": 0,
            "updated": 1,
            "items": [{"index": 0, "guid": None, "action": "unchanged"}],
        }
    assert all_rows() == before
    unknown = item | {"component_guid": uuid.uuid4()}
    assert faults(sync("pieces", item, unknown, query="?match=piece_id")) == [("pieces", 1, "component_guid")]


def test_a_tombstone_deletes_the_piece_that_it_matches(sync: Sync, component: Component) -> None:
    held = PieceFactory.create(component=component, assembly=None, piece_id="1")
    for action in ("deleted", "unchanged"):
        answer = sync(
            "pieces",
            piece_item(component, is_active=False),
            query="?match=piece_id",
            **REPRESENTATION,
        )
        assert actions(answer) == [action]
    assert not row_of("piece", held.guid).is_active


def test_without_match_the_same_item_is_a_fault(sync: Sync, component: Component) -> None:
    sync("pieces", piece_item(component, piece_id="1"))
    assert faults(sync("pieces", piece_item(component, piece_id="1"))) == [("pieces", 0, "piece_id")]


def test_a_gzipped_batch_is_taken(api: Api, key: str, component: Component) -> None:
    body = gzip.compress(orjson.dumps({"pieces": [full_piece(component, n) for n in range(50)]}))
    response = api.with_key(key).post_raw("/api/v1/sync/pieces/", body, content_encoding="gzip")
    assert response.json() == {"inserted": 50, "updated": 0}


def test_a_picture_is_compared_by_its_content(sync: Sync, component: Component) -> None:
    pictures = [base64.b64encode(data).decode() for data in (b"one", b"two")]
    item = piece_item(component, guid=uuid.uuid4(), picture=pictures[0])
    sync("pieces", item)
    assert actions(sync("pieces", item, **REPRESENTATION)) == ["unchanged"]
    assert actions(sync("pieces", item | {"picture": pictures[1]}, **REPRESENTATION)) == ["updated"]
    assert actions(sync("pieces", {**item, "picture": pictures[1], "cell": "1"}, **REPRESENTATION)) == ["updated"]
    assert bytes(row_of("piece", item["guid"]).picture) == b"two"


def test_one_batch_may_set_some_pictures_and_keep_others(sync: Sync, component: Component) -> None:
    old, new = (base64.b64encode(data).decode() for data in (b"old", b"new"))
    one, two = (full_piece(component, number, picture=old) for number in (1, 2))
    sync("pieces", one, two)
    del one["picture"]
    sync("pieces", one | {"cell": "1"}, two | {"picture": new})
    stored = [bytes(row_of("piece", item["guid"]).picture) for item in (one, two)]
    assert stored == [b"old", b"new"]


@pytest.mark.parametrize("stamp", ["2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00"])
def test_due_dates_are_kept_in_utc(sync: Sync, company: Company, stamp: str) -> None:
    item: Item = {"guid": uuid.uuid4(), "code": "P", "company_guid": company.guid, "due_date": stamp}
    sync("projects", item)
    due = row_of("project", item["guid"]).due_date
    assert (due.isoformat(), due.utcoffset()) == ("2026-05-01T10:00:00+00:00", timedelta(0))
    same = sync("projects", item | {"due_date": "2026-05-01T11:00:00+01:00"}, **REPRESENTATION)
    assert actions(same) == ["unchanged"]


def test_defaults_fill_a_new_row_and_null_clears_them(sync: Sync, company: Company) -> None:
    item: Item = {"guid": uuid.uuid4(), "code": "P", "company_guid": company.guid}
    sync("projects", item)
    assert row_of("project", item["guid"]).in_production is False
    sync("projects", item | {"in_production": None})
    assert row_of("project", item["guid"]).in_production is None
