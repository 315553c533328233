"""The two ways through sync.schemas agree: what the quick decoder takes, the validator takes for the same items."""

import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from bench.fuzzing.words import TOKENS
from pieces.models import LEVELS, Entity, Piece
from ractory.api.rendering import to_json
from sync import schemas
from sync.schemas import Batch, Item, split
from sync.tests.batches import parse_body, scalar_fields

GUID = "423e4567-e89b-12d3-a456-426614174004"


def batch_of(model: type[Entity], raw: bytes, *, decoder: bool, strict: bool = True) -> Batch | None:
    """The batch, by the validator alone without the `decoder`; None if the whole body is refused."""
    with pytest.MonkeyPatch.context() as patch:
        if not decoder:
            patch.setattr(schemas, "_decoded", lambda model, raw: None)
        try:
            return parse_body(model, raw, strict=strict)
        except ParseError:
            return None


def assert_agreed(model: type[Entity], raw: bytes) -> bool:
    """Whether the decoder took every line; in any case the validator alone comes to the same."""
    try:
        lines = split(model, raw).lines
    except ParseError:
        return False
    assert batch_of(model, raw, decoder=True) == batch_of(model, raw, decoder=False), raw
    return all(schemas._decoded(model, line.raw) is not None for line in lines)


def required(model: type[Entity]) -> dict[str, Any]:
    columns = [column for column in model.settable_fields() if not (column.null or column.has_default())]
    return {column.attname: GUID if column.attname.endswith("_guid") else "1" for column in columns}


def full(model: type[Entity]) -> Item:
    values = {
        name: {"IntegerField": 12, "BooleanField": True}.get(column.get_internal_type(), "text")
        for name, column in scalar_fields(model).items()
        if column.get_internal_type() != "DateTimeField"
    }
    return {"guid": GUID, "is_active": False, **required(model), **values}


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 0, -0.0, 1.0, 1.5, 1e10]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["x" * 255, "x" * 256, "ü" * 255, "😀" * 255, "😀" * 256, "x" * 4000, "x" * 4001, "1200", "true"]),
    st.sampled_from([GUID, GUID.upper(), GUID.replace("-", ""), f"{{{GUID}}}", f"urn:uuid:{GUID}", GUID[:-1]]),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[type[Entity], bytes]:
    model = draw(st.sampled_from(LEVELS))
    names = [*(column.attname for column in model.settable_fields()), "created_at", "colour", ""]
    items = []
    for _ in range(draw(st.integers(0, 3))):
        item = full(model) if draw(st.booleans()) else required(model)
        item |= {name: draw(ODD) for name in draw(st.lists(st.sampled_from(names), max_size=3))}
        for name in draw(st.lists(st.sampled_from(names), max_size=1)):
            item.pop(name, None)
        items.append(item)
    body = {model.plural: items} | draw(st.sampled_from([{}, {}, {}, {"more": 1}]))
    return model, json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies())
def test_what_the_decoder_takes_the_validator_takes_alike(made: tuple[type[Entity], bytes]) -> None:
    assert_agreed(*made)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_they_agree_on_mutated_bytes_too(data: st.DataObject) -> None:
    raw = bytearray(orjson.dumps({"pieces": [required(Piece) | {"barcode": "é\\u0041", "bar_rest": 5}]}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        new = data.draw(st.sampled_from(b'"\\{}[],:0e-.\xff\x00\n') | st.none())
        raw[at : at + data.draw(st.integers(0, 2))] = b"" if new is None else bytes([new])
    assert_agreed(Piece, bytes(raw))


TOKEN = st.sampled_from(TOKENS) | st.binary(max_size=8)
MEMBER = st.tuples(
    st.sampled_from([*required(Piece), "guid", "picture", "outer_length", "barcode", "is_active"]), TOKEN
)


@st.composite
def raw_bodies(draw: st.DrawFn) -> bytes:
    """What is near enough to a batch to get past the first brace: any token as any value, and then any bytes."""
    members = [b'"%s":%s' % (name.encode(), token) for name, token in draw(st.lists(MEMBER, max_size=6))]
    whole = orjson.dumps(required(Piece))[1:-1]
    item = b"{" + b",".join([whole, *members] if draw(st.booleans()) else members) + b"}"
    raw = b'{"pieces":[' + b",".join([item] * draw(st.integers(0, 2))) + b"]}"
    if draw(st.booleans()):
        at, end = draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(TOKEN) + raw[end:]
    return raw


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw_bodies(), st.booleans())
def test_whatever_the_bytes_are_they_become_a_batch_or_a_refusal(raw: bytes, strict: bool) -> None:
    assert_agreed(Piece, raw)
    try:
        batch = parse_body(Piece, raw, strict=strict)
    except ParseError:
        return
    known = {column.attname for column in Piece.settable_fields()}
    assert all(item is None or (type(item) is dict and item.keys() <= known) for item in batch.items)
    assert bool(batch.fault_count) == bool(batch.faults) >= (None in batch.items)
    assert len(batch.faults) <= batch.fault_count
    to_json([batch.ignored, *(fault.as_wire() for fault in batch.faults)])  # as it goes over the wire


@pytest.mark.parametrize(
    "raw",
    [
        b'{"pieces": [], "pieces": []}',
        b'{"pieces": [{"piece_id": "\xff"}]}',
        b'{"pieces": [{"piece_id": "\xed\xa0\x80"}]}',
        b'{"pieces": [{"piece_id": "\\ud800"}]}',
        b'{"pieces": [{"piece_id": "a\nb"}]}',
        b'\xef\xbb\xbf{"pieces": []}',
        b'{"pieces": []} x',
        b'{"pieces": [01]}',
        b'{"pieces": ' + b"[" * 100_000,
        b'{"pieces": [NaN]}',
        b"",
        b"null",
        b"[]",
    ],
)
def test_they_agree_on_odd_json(raw: bytes) -> None:
    assert_agreed(Piece, raw)


@example(twice=("a", "b"))
@given(st.tuples(st.text(max_size=3), st.text(max_size=3)))
def test_of_a_key_that_stands_twice_both_take_the_last(twice: tuple[str, str]) -> None:
    item = orjson.dumps(required(Piece))[:-1] + b"".join(b',"cell":' + orjson.dumps(text) for text in twice) + b"}"
    assert_agreed(Piece, b'{"pieces":[' + item + b"]}")


@pytest.mark.parametrize("model", LEVELS)
def test_the_decoder_takes_the_common_bodies(model: type[Entity]) -> None:
    for item in (full(model), required(model), required(model) | {"guid": None, "is_active": None}):
        assert assert_agreed(model, orjson.dumps({model.plural: [item] * 3}))
    assert assert_agreed(model, orjson.dumps({model.plural: []}))


NOT_JSON = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b'"\\ud800"',
    b'"a\nb"',
    b'"\xff"',
    b"[1,]",
    b"'a'",
]


@pytest.mark.parametrize("value", NOT_JSON)
@pytest.mark.parametrize(
    "body",
    [
        b'{"pieces": [], "colour": %b}',
        b'{"pieces": [], "colour": {"a": [[%b]]}}',
        b'{"pieces": [{"colour": %b}]}',
        b'{"pieces": [{"colour": {"a": {"b": [1, %b]}}}]}',
        b'{"pieces": [{"created_at": %b}]}',
        b'{"pieces": [{"outer_length": %b}]}',
        b'{"pieces": [{"due_date": %b, "due_date": null}]}',
        b'{"pieces": %b, "pieces": []}',
    ],
)
def test_what_is_no_json_by_rfc_8259_is_no_batch_wherever_it_stands(body: bytes, value: bytes) -> None:
    parse_body(Piece, body % b"1")
    with pytest.raises(ParseError, match="The body is not JSON"):
        parse_body(Piece, body % value)


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"pieces": [], "x": 1}', b'{"pieces": [], "x": 1} x', b'{"pieces": [], "x": 1}{}']
)
def test_nothing_may_stand_around_the_json(body: bytes) -> None:
    with pytest.raises(ParseError, match="The body is not JSON"):
        parse_body(Piece, body)


def test_numbers_that_are_too_large_for_a_float_are_json() -> None:
    assert parse_body(Piece, b'{"pieces": [], "x": [1e999, -1e999]}').ignored == ["x"]


def test_of_unknown_fields_100_names_are_told_and_all_are_counted() -> None:
    items = [required(Piece) | {f"colour{n}": 1, "x" * 1000 + str(n): 1} for n in range(150)]
    batch = parse_body(Piece, orjson.dumps({"pieces": items}), strict=True)
    # The first hundred faults are kept, and the first one of each of a hundred kinds.
    assert (batch.fault_count, len(batch.faults), len(batch.ignored)) == (300, 149, 100)
    assert (len(batch.kinds), batch.kinds["", "others"]) == (101, 51)
    assert max(map(len, batch.ignored)) == 100
    few = [required(Piece) | {"colour": 1}] * 999 + [required(Piece) | {"size": 1}]
    assert parse_body(Piece, orjson.dumps({"pieces": few})).ignored == ["colour", "size"]


def test_guids_come_out_as_uuids() -> None:
    [item] = parse_body(Piece, orjson.dumps({"pieces": [required(Piece)]})).items
    assert item
    assert item["project_guid"] == uuid.UUID(GUID)
