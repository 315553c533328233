"""Reading a request within bounds, and to its end: a body is JSON, plain or gzip, of known or unknown length."""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from io import BytesIO
from threading import Lock
from typing import IO, Any

import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError, Throttled, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from ractory.api.errors import Fault, TooLarge, Unprocessable, echoed

GZIP = 31  # zlib's window bits for the gzip format
CHUNK = 1024 * 1024
SMALL = 64 * 1024  # bytes of a body that is no batch
MAX_GZIP_MEMBERS = 16  # concatenated streams; each costs a copy of what follows it

# Bytes of a body, unpacked. What a larger one becomes takes up to eight times as many, and much of a processor.
LARGE = 8 * 1024 * 1024
_large_body = Lock()

# Objects, arrays and commas: parsers make up to a hundred times their bytes of them. 1000 full pieces have 62 000.
MAX_VALUES = 250_000
_ALL_BUT_SEPARATORS = bytes(set(range(256)) - set(b",[{"))
_ALL_BUT_QUOTES_TOO = bytes(set(range(256)) - set(b'",[{'))
_STRING = re.compile(rb'"[^"]*"')


def read_json_body(request: HttpRequest, *, limit: int, alone: ExitStack | None = None) -> bytes:
    """The body's bytes, unpacked, not parsed. Raises 415 for another content type or coding, 413 above `limit` (before
    or after unpacking), 400 for a broken gzip stream, 413 for more than MAX_VALUES values, in this order. With `alone`
    a large one is the only one of this process until that is closed; 429 while there is another."""
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8", "us-ascii"):
        sent = echoed(request.headers.get("Content-Type", ""))
        raise UnsupportedMediaType(sent, detail=f'Unsupported content type "{sent}": send application/json in UTF-8.')
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip"):
        sent = echoed(coding)
        raise UnsupportedMediaType(sent, detail=f'Unsupported Content-Encoding "{sent}": send gzip or none.')
    length = request.headers.get("Content-Length", "")
    # More digits than that are no number of bytes, and slow to convert.
    too_large = length.isdecimal() and int(length[:20]) > limit
    raw = b"" if too_large else b"".join(chunks(request, limit + 1))
    if too_large or len(raw) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    body = _unpacked(raw, limit, alone, is_packed="gzip" in coding)
    if is_crowded(body):
        raise TooLarge(f"The body has more than {MAX_VALUES} values.")
    return body


def is_crowded(raw: bytes) -> bool:
    """Whether JSON has more than MAX_VALUES separators outside of its strings; for what is no JSON, whatever."""
    if len(raw) <= MAX_VALUES or len(raw.translate(None, _ALL_BUT_SEPARATORS)) <= MAX_VALUES:
        return False
    # Without what is escaped, each quote begins or ends a string.
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in raw else raw
    bare = bare.translate(None, _ALL_BUT_QUOTES_TOO).replace(b'""', b"")
    if bare.count(b'"') > 4 * MAX_VALUES:  # more strings than keys and values may have
        return True
    return len(_STRING.sub(b"", bare)) > MAX_VALUES


def read_json_object(request: HttpRequest, *, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises what `read_json_body` raises, and 400 for anything but an object."""
    try:
        data = orjson.loads(read_json_body(request, limit=limit))
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ParseError("The body must be a JSON object.")
    return data


def read_fields(request: Request, kind: type[Serializer[Any]], *, strict: bool = False) -> dict[str, Any]:
    """The fields of a small object that the body is. Raises 422 for those that are missing or of a wrong shape. With
    `strict` also for those that the serializer does not know; then an empty body is an empty object."""
    raw = request._request
    is_empty = raw.META.get("CONTENT_LENGTH") in ("", "0", None) and "Transfer-Encoding" not in raw.headers
    sent = {} if strict and is_empty else read_json_object(raw, limit=SMALL)
    fields = kind(data=sent)
    if strict and (unknown := [name for name in sent if name not in fields.fields]):
        raise Unprocessable([Fault(("body", name), "Unknown field", "extra_forbidden") for name in unknown])
    fields.is_valid(raise_exception=True)
    return dict(fields.validated_data)


def chunks(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """At most `limit` bytes of the body, also of a chunked one, which Django takes for empty. 400 if it breaks off."""
    if request.headers.get("Content-Length", "").isdecimal():
        stream: IO[bytes] | HttpRequest = request
    else:
        stream = request.META["wsgi.input"] if request.META.get("wsgi.input_terminated") else BytesIO()
    while limit > 0:
        try:
            chunk = stream.read(min(CHUNK, limit))
        except Exception as error:  # OSError, or whatever the server makes of a malformed chunk
            raise ParseError("The body broke off.") from error
        if not chunk:
            return
        limit -= len(chunk)
        yield chunk


def _unpacked(raw: bytes, limit: int, alone: ExitStack | None, *, is_packed: bool) -> bytes:
    if alone is not None:
        # A gzip stream says at its end how large it is; not truly, or not all of it, if somebody has made it so.
        if (int.from_bytes(raw[-4:], "little") if is_packed else len(raw)) <= LARGE:
            with suppress(TooLarge):
                return _gunzip(raw, min(limit, LARGE)) if is_packed else raw
        if not _large_body.acquire(blocking=False):
            raise Throttled(1, "Too many large bodies at once.", "large bodies at once")
        alone.callback(_large_body.release)
    return _gunzip(raw, limit) if is_packed else raw


def _gunzip(raw: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    try:
        while raw:  # a gzip file may have several members (RFC 1952, 2.2)
            if len(parts) == MAX_GZIP_MEMBERS:
                raise ParseError(f"The gzip stream has more than {MAX_GZIP_MEMBERS} members.")
            member = zlib.decompressobj(GZIP)
            parts.append(member.decompress(raw, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise TooLarge(f"The body unpacks to more than {limit} bytes.")
            if not member.eof:
                raise ParseError("The gzip stream is truncated.")
            raw = member.unused_data
    except zlib.error as error:
        raise ParseError("The body is not a valid gzip stream.") from error
    return b"".join(parts)


class TolerantRequest(WSGIRequest):
    """A `Content-Type` that can't be read is none, and the charset in it is not that of the query, which is UTF-8.
    Django's own fails before any middleware, with a bare 500: for `charset=base64`, too many parameters, and so on."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    request_class = TolerantRequest

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Reads the rest of the body, too: closed on too early, clients see a broken connection, not the answer."""
        response = super().get_response(request)
        with suppress(ParseError):
            for _ in chunks(request, 2 * settings.MAX_BODY_BYTES):
                pass
        return response
