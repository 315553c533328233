"""Where a request ends, however its bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ractory.framing import MAX_HEAD, MAX_LINE, Framing

LIMIT = 1000
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = [
    b"GET / HTTP/1.1\r\n\r\n",
    HEAD + b"Content-Length: 0\r\n\r\n",
    HEAD + b"content-LENGTH:  5 \r\n\r\n\r\n\r\n{",
    HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000,
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"5\r\n0\r\n\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"A\r\n" + b"x" * 10 + b"\r\n0\r\nTrailer: a\r\nOther: b\r\n\r\n",
]
# Over at once: nobody waits for more.
GIVEN_UP = [
    HEAD + b"Content-Length: 1001\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: abc\r\n\r\n",
    HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    CHUNKED + b"xyz\r\n",
    CHUNKED + b"500\r\n",
    CHUNKED + b"-1\r\n",
]


@pytest.mark.parametrize("request_bytes", WHOLE)
@given(sizes=st.lists(st.integers(1, 40)))
def test_a_request_ends_where_it_ends_and_the_next_is_left_alone(request_bytes: bytes, sizes: list[int]) -> None:
    sent = request_bytes + b"GET /next HTTP/1.1\r\n\r\n"
    framing, used, cuts = Framing(LIMIT), 0, iter(sizes)
    while not framing.complete:
        used += framing.feed(sent[used : used + next(cuts, len(sent))])
    assert (used, framing.whole) == (len(request_bytes), True)


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_nothing_is_over_before_its_last_byte(request_bytes: bytes) -> None:
    framing = Framing(LIMIT)
    assert framing.feed(request_bytes[:-1]) == len(request_bytes) - 1
    assert not framing.complete
    assert framing.feed(request_bytes[-1:]) == 1
    assert framing.complete


@pytest.mark.parametrize("request_bytes", GIVEN_UP)
def test_what_can_not_be_framed_or_is_too_large_is_over_at_once(request_bytes: bytes) -> None:
    framing = Framing(LIMIT)
    framing.feed(request_bytes)
    assert (framing.complete, framing.whole) == (True, False)


@pytest.mark.parametrize(
    ("head", "endless", "limit"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n", MAX_HEAD),
        (CHUNKED, b"0", MAX_LINE),
        (CHUNKED + b"0\r\n", b"X-A: b\r\n", MAX_HEAD),
        (CHUNKED, b"1\r\nx\r\n", 6 * LIMIT),
    ],
)
def test_what_has_no_end_is_given_up(head: bytes, endless: bytes, limit: int) -> None:
    framing, used = Framing(LIMIT), 0
    framing.feed(head)
    while not framing.complete:
        used += framing.feed(endless * 100)
        assert used < 2 * limit
    assert not framing.whole


def test_who_asks_before_sending_a_body_is_asked_for_it_unless_it_is_too_large() -> None:
    for length, wanted in ((5, True), (LIMIT + 1, False), (0, False)):
        framing = Framing(LIMIT)
        framing.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
        assert framing.wants_100 == wanted
