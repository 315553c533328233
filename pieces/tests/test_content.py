"""The digest of a row's content: the same however it is arrived at, another one for other content."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pieces.content import content_of, digest_of
from pieces.models import LEVELS, Component, Entity, Piece

PIECE = content_of(Piece)
VALUE = st.none() | st.sampled_from(["", "null", "a", "b", 0, 1]) | st.text(max_size=2)


def values_of(model: type[Entity], **said: Any) -> tuple[Any, ...]:
    content = content_of(model)
    return content.pick({**content.blank, **said})


def full(**said: Any) -> tuple[Any, ...]:
    """A piece with a value in every field but the picture."""
    return PIECE.pick({**dict.fromkeys(PIECE.names, "x"), "picture_digest": None, **said})


@given(st.lists(VALUE, min_size=3, max_size=3), st.lists(VALUE, min_size=3, max_size=3))
def test_digests_are_the_same_for_the_same_content_only(one: list[Any], other: list[Any]) -> None:
    names = ("barcode", "cell", "trolley")
    for make in (full, lambda **said: values_of(Piece, **said)):
        digests = [digest_of(PIECE, make(**dict(zip(names, said, strict=True)))) for said in (one, other)]
        assert (digests[0] == digests[1]) == (one == other)


def test_a_value_is_not_taken_for_its_neighbours() -> None:
    assert digest_of(PIECE, values_of(Piece, barcode="a")) != digest_of(PIECE, values_of(Piece, cell="a"))
    assert digest_of(PIECE, full(cell=None)) != digest_of(PIECE, full(barcode=None))


def test_a_picture_takes_part() -> None:
    assert digest_of(PIECE, full()) != digest_of(PIECE, full(picture_digest=b"x" * 16))
    assert digest_of(PIECE, full(picture_digest=b"x")) == digest_of(PIECE, full(picture_digest=memoryview(b"x")))


@pytest.mark.parametrize("model", LEVELS)
def test_a_field_that_is_added_leaves_old_digests_valid(model: type[Entity]) -> None:
    """A content without the field gives the digest that one with it gives for a row that does not use it."""
    content = content_of(model)
    for name in content.names[:-1]:
        fewer = tuple(other for other in content.names if other != name)
        defaults = tuple(pair for pair in content.defaults if pair[0] != name)
        older = type(content)(fewer, content.pick, content.blank, defaults, None, b"")
        row = {**dict.fromkeys(content.names, "x"), "picture_digest": b"1", name: content.blank[name]}
        old = digest_of(older, [row[other] for other in fewer])
        assert digest_of(content, content.pick(row)) == old


def test_null_is_told_from_a_default_that_is_not_null() -> None:
    content = content_of(Component)
    digests = {digest_of(content, values_of(Component, quantity=quantity)) for quantity in (None, 1, 2)}
    assert len(digests) == 3
