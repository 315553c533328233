"""Reading a body within bounds: what is read, what is refused, and with which status."""

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import APIException

from ractory.api.body import MAX_GZIP_MEMBERS, MAX_VALUES, is_crowded, read_json_body, read_json_object

LIMIT = 1000


def request(body: bytes, content_type: str = "application/json", meta: Mapping[str, Any] | None = None) -> HttpRequest:
    sent = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    return RequestFactory().request(REQUEST_METHOD="POST", **{**sent, **(meta or {})})


def gzipped(body: bytes, coding: str = "gzip") -> HttpRequest:
    return request(body, meta={"HTTP_CONTENT_ENCODING": coding})


class Stream(io.BytesIO):
    """What a WSGI server gives for a chunked body; counts what is taken from it."""

    taken = 0
    error: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self.taken += len(chunk)
        if not chunk and self.error:
            raise self.error
        return chunk


def chunked(stream: Stream, *, terminated: bool = True) -> HttpRequest:
    return request(b"", meta={"CONTENT_LENGTH": "", "wsgi.input": stream, "wsgi.input_terminated": terminated})


def refused(made: HttpRequest, status: int, words: str, limit: int = LIMIT) -> None:
    with pytest.raises(APIException) as caught:
        read_json_body(made, limit=limit)
    assert caught.value.status_code == status
    assert words in str(caught.value.detail)


# --- plain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * LIMIT])
def test_a_body_up_to_the_limit_is_read_as_it_is(body: bytes) -> None:
    assert read_json_body(request(body), limit=LIMIT) == body


def test_a_body_above_the_limit_is_a_413() -> None:
    refused(request(b"x" * (LIMIT + 1)), 413, "larger than 1000 bytes")


def test_a_body_of_many_reads_is_put_together() -> None:
    body = bytes(range(256)) * 1000
    assert read_json_body(request(body), limit=len(body)) == body


def test_a_content_length_above_the_limit_is_a_413_before_anything_is_read() -> None:
    for length in ("1001", "9" * 19, "9" * 5000):
        stream = Stream(b"x" * 2000)
        refused(request(b"", meta={"CONTENT_LENGTH": length, "wsgi.input": stream}), 413, "larger than 1000 bytes")
        assert stream.taken == 0


@pytest.mark.parametrize("length", ["abc", "-5", "²", "1.5", "0x10", " "])
def test_a_content_length_that_is_none_is_an_empty_body(length: str) -> None:
    assert read_json_body(request(b"{}", meta={"CONTENT_LENGTH": length}), limit=LIMIT) == b""


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_in_utf_8_is_taken_however_it_is_spelled(content_type: str) -> None:
    assert read_json_body(request(b"{}", content_type), limit=LIMIT) == b"{}"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "application/json-patch+json",
        "é",
    ],
)
def test_another_content_type_is_a_415_before_the_size_matters(content_type: str) -> None:
    refused(request(b"x" * (LIMIT + 1), content_type), 415, "send application/json in UTF-8")


# --- gzip -------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " gzip ", "x-gzip"])
def test_a_gzip_stream_is_unpacked(coding: str) -> None:
    assert read_json_body(gzipped(gzip.compress(b'{"a": 1}'), coding), limit=LIMIT) == b'{"a": 1}'


@pytest.mark.parametrize("coding", ["identity", ""])
def test_identity_is_no_coding(coding: str) -> None:
    assert read_json_body(gzipped(b"{}", coding), limit=LIMIT) == b"{}"


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "é"])
def test_another_coding_is_a_415(coding: str) -> None:
    refused(gzipped(gzip.compress(b"{}"), coding), 415, "Unsupported Content-Encoding")


def test_what_unpacks_to_exactly_the_limit_is_taken() -> None:
    body = b"x" * LIMIT
    assert read_json_body(gzipped(gzip.compress(body)), limit=LIMIT) == body


def test_a_bomb_is_a_413_and_never_unpacked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    decompressobj = zlib.decompressobj

    class Counting:
        def __init__(self, bits: int) -> None:
            self.inner = decompressobj(bits)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            piece = self.inner.decompress(data, max_length)
            made.append(len(piece))
            return piece

    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    monkeypatch.setattr("ractory.api.body.zlib.decompressobj", Counting)
    refused(gzipped(bomb), 413, "unpacks to more than 100000 bytes", limit=100_000)
    assert made == [100_001]


def test_a_bomb_of_several_members_is_a_413() -> None:
    refused(gzipped(gzip.compress(b"x" * 600) * 2), 413, "unpacks to more than 1000 bytes")


def test_a_packed_body_above_the_limit_is_a_413() -> None:
    refused(gzipped(gzip.compress(b"{}") + b"x" * LIMIT), 413, "larger than 1000 bytes")


@pytest.mark.parametrize("cut", [1, 5, 10, 15, 22])
def test_a_truncated_stream_is_a_400(cut: int) -> None:
    refused(gzipped(gzip.compress(b'{"a": 1}')[:cut]), 400, "truncated")


def test_what_is_no_gzip_stream_is_a_400() -> None:
    spoilt = bytearray(gzip.compress(b'{"a": 1}'))
    spoilt[-6] ^= 1  # in the checksum
    for body in (
        b"{}",
        b"\x1f\x8b\xff" + b"x" * 20,
        gzip.compress(b"{}") + b"trailing",
        bytes(spoilt),
        zlib.compress(b"{}"),
    ):
        refused(gzipped(body), 400, "not a valid gzip stream")


def test_several_members_are_one_body_up_to_a_number() -> None:
    member = gzip.compress(b"x")
    assert read_json_body(gzipped(member * MAX_GZIP_MEMBERS), limit=LIMIT) == b"x" * MAX_GZIP_MEMBERS
    refused(gzipped(member * (MAX_GZIP_MEMBERS + 1)), 400, "more than 16 members")


# --- of unknown length ------------------------------------------------------------------------


def test_a_chunked_body_is_read_to_its_end() -> None:
    assert read_json_body(chunked(Stream(b'{"a": 1}')), limit=LIMIT) == b'{"a": 1}'


def test_a_chunked_body_is_read_no_further_than_it_takes_to_refuse_it() -> None:
    stream = Stream(b"x" * 10_000_000)
    refused(chunked(stream), 413, "larger than 1000 bytes")
    assert stream.taken == 1001


def test_a_chunked_body_is_not_read_where_the_server_does_not_end_it() -> None:
    stream = Stream(b"{}")
    assert read_json_body(chunked(stream, terminated=False), limit=LIMIT) == b""
    assert stream.taken == 0


@pytest.mark.parametrize("error", [OSError("reset"), ValueError("bad chunk"), Exception("of the server's own")])
def test_a_chunked_body_that_breaks_off_is_a_400(error: Exception) -> None:
    stream = Stream(b"{")
    stream.error = error
    refused(chunked(stream), 400, "broke off")


def test_a_client_that_goes_away_in_the_middle_is_a_400() -> None:
    stream = Stream(b"{")
    stream.error = ConnectionResetError()
    refused(request(b"", meta={"CONTENT_LENGTH": "500", "wsgi.input": stream}), 400, "broke off")


# --- JSON -------------------------------------------------------------------------------------


def test_an_object_is_read_as_one() -> None:
    body = gzip.compress('{"a": [1, "é"]}'.encode())
    assert read_json_object(gzipped(body), limit=LIMIT) == {"a": [1, "é"]}


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"", b"{", b"\xff", b'"\\ud800"', b"[" * 900])
def test_anything_but_an_object_is_a_400(body: bytes) -> None:
    with pytest.raises(APIException) as caught:
        read_json_object(request(body), limit=LIMIT)
    assert caught.value.status_code == 400


# --- How much there is in it ------------------------------------------------------------------

ROOM = 100 * MAX_VALUES


@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        (b"[1", b",1", b"]"),
        (b"[[]", b",[]", b"]"),
        (b"[{}", b",{}", b"]"),
        (b'{"a":1', b',"a":1', b"}"),
        (b'["x"', b',"x"', b"]"),
        (b'["\\""', b',"\\""', b"]"),  # "\""
        (b'["\\\\"', b',"\\\\"', b"]"),  # "\\", whose quote is none of the string's
        (b'[","', b',","', b"]"),
        (b"", b"[", b""),
        (b"", b'{"a":', b""),
    ],
)
def test_a_body_of_too_many_values_is_a_413(head: bytes, unit: bytes, tail: bytes) -> None:
    crowded = head + unit * (MAX_VALUES + 1) + tail
    refused(request(crowded), 413, "more than 250000 values", limit=ROOM)
    refused(gzipped(gzip.compress(crowded)), 413, "more than 250000 values", limit=ROOM)


def json_separators(text: bytes) -> int:
    count, inside, escaped = 0, False, False
    for byte in text.decode():
        if inside:
            inside = escaped or byte != '"'
            escaped = byte == "\\" and not escaped
        elif byte == '"':
            inside = True
        else:
            count += byte in ",[{"
    return count


TEXT = st.text(alphabet='a,[{]}":\\ ')
DOCUMENT = st.recursive(TEXT | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@given(DOCUMENT)
def test_values_are_counted_as_by_a_slow_walk_over_the_characters(document: object) -> None:
    with mock.patch("ractory.api.body.MAX_VALUES", 10):
        text = json.dumps(document).encode()
        assert is_crowded(text) == (json_separators(text) > 10)


@pytest.mark.parametrize("text", ["[{,", "[{,\\\\", '\\",\\"', "\\\\,\\\\"])
def test_separators_within_strings_are_no_values(text: str) -> None:
    body = b'{"operations": ["' + text.encode() * MAX_VALUES + b'", "x"]}'
    assert not is_crowded(body)
    assert read_json_body(request(body), limit=ROOM) == body
