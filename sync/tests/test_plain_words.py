"""Faults as people read them: each is one that the rules of sync really find."""

import base64
import json
from typing import Any

import pytest

from pieces.models import MAX_PICTURE, Piece
from sync.admin.plain_words import in_plain_words
from sync.schemas import Line, parse

GUID = "423e4567-e89b-12d3-a456-426614174004"
PIECE = dict.fromkeys(("project_guid", "component_guid", "company_guid"), GUID) | {"piece_id": "1"}


def words_for(raw: bytes) -> str:
    (fault,) = parse(Piece, [Line(0, raw)], leave_out=True).faults
    return in_plain_words(fault.as_record())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("outer_length", "45°", "This is not a whole number: “45°”"),
        ("outer_length", 2**40, "This number is too large or too small to be kept: 1099511627776"),
        ("barcode", "4" * 256, f"This should have at most 255 characters: “{'4' * 100}…”"),
        ("barcode", 'a "b" \0', 'This holds a character that can\'t be kept (NUL): “a "b" \0”'),
        ("piece_id", None, "This must be filled in"),
        ("piece_id", 5, "This is not a text: 5"),
        ("is_active", "maybe", "This is neither true nor false: “maybe”"),
        ("guid", "x", "This is not a guid: “x”"),
        ("if_updated_at", "20260501", "This is not a date with a time: “20260501”"),
        ("picture", "x" * 400_000, "The picture is too large: 256 KiB is the most"),
        ("picture", base64.b64encode(bytes(MAX_PICTURE + 1)).decode(), "The picture is too large: 256 KiB is the most"),
        ("picture", "%", "This is not a picture as it should be sent (base64)"),
    ],
)
def test_a_wrong_value_is_told_without_a_word_of_programs(field: str, value: Any, words: str) -> None:
    assert words_for(json.dumps(PIECE | {field: value}).encode()) == words


def test_so_is_what_is_no_item_at_all() -> None:
    assert words_for(b'{"a":') == "What was sent is damaged, or cut off: it is not JSON"
    assert words_for(b"[]") == "This is no set of fields with their values: an array"
    assert words_for(json.dumps(PIECE | {"piece_id": "1"}).encode().replace(b'"piece_id": "1"', b'"cell": "1"')) == (
        "This must be filled in"
    )


@pytest.mark.parametrize(
    ("msg", "words"),
    [
        ("The body is not JSON: EOF while parsing an object at line 1 column 5.", "it is not JSON"),
        (f"pieces[0]: company {GUID} is not yours.", f"piece 1: company {GUID} is not yours."),
        ("Maximum batch size is 1000 pieces", "Maximum batch size is 1000 pieces"),
    ],
)
def test_a_refusal_of_a_whole_body_counts_from_1_and_names_no_parser(msg: str, words: str) -> None:
    assert in_plain_words({"loc": [], "msg": msg, "type": "refused"}).endswith(words)
