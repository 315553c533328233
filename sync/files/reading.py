"""From a file's bytes to its rows, each still raw JSON; never all of it at once. A file is NDJSON or one JSON array of
any length (CSV: sync.files.tables), plain or gzip, from a path or from standard input."""

import gzip
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from typing import IO, NamedTuple, cast

from pieces.models import Entity
from ractory.api.errors import Fault

MAX_ROW = 4 * 1024 * 1024  # bytes; the largest valid piece, every character escaped, has less than half of it
CHUNK = 1024 * 1024  # bytes
START = 4096  # bytes that show which format a file has
STDIN = "-"
GZIP = b"\x1f"  # no text begins with it
BOM = b"\xef\xbb\xbf"
OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")
MARK, END, SEPARATOR, CLOSING = (re.compile(mark) for mark in (r"[^ \t\r\n]", r"\]", r"[,\]]", r"\}"))
# It is only asked where a value ends. What it makes of numbers is thrown away, and `float` takes any length of them.
DECODER = json.JSONDecoder(strict=False, parse_int=float)


class FileRow(NamedTuple):
    """One item: where it begins (counted from 1), its JSON, and what the reader of the file found wrong with it."""

    line: int
    raw: bytes
    fault: Fault | None = None


class BadFile(Exception):
    """The file can't be read on from `line` (counted from 1; None: from the start); what came before it counts."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")


class Source:
    """A stream of bytes, without gzip and a byte order mark. Raises BadFile if it can't be read, or is longer
    (`limit`)."""

    def __init__(self, file: BufferedReader, limit: float = math.inf, size: int = 0) -> None:
        self._file, self._left, self._limit = file, limit, limit
        self.size = size  # bytes as they lie on the disk; 0 for a stream
        self._line = 0  # of the line that is being read
        with self._reading():
            is_gzip = file.peek(1)[:1] == GZIP
            self._stream = cast(IO[bytes], gzip.GzipFile(fileobj=file) if is_gzip else file)
            self.start = self._stream.read(START).removeprefix(BOM)
        if self.start.startswith(OTHER_ENCODINGS):
            raise BadFile("the file is in UTF-16; save it as UTF-8", 1)
        self._ahead = self.start  # what is to be read again

    @property
    def position(self) -> int:
        """How many of `size` bytes have been read."""
        return self._file.tell() if self.size else 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        with self._reading():
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return self._counted(taken or self._stream.read(size))

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends. Raises BadFile at one of more than MAX_ROW bytes."""
        readline = self._stream.readline
        with self._reading():
            while True:
                self._line += 1
                line, newline, self._ahead = self._ahead.partition(b"\n")
                line += newline or readline(MAX_ROW + 1)
                if not line:
                    return
                if len(line) > MAX_ROW:
                    raise BadFile(f"the line is longer than {MAX_ROW // 2**20} MiB", self._line)
                yield self._counted(line)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise BadFile(f"it unpacks to more than {self._limit / 2**20:.0f} MiB")
        return data

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            raise BadFile(_reason(error), self._line or None) from error


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The file at `path`, or standard input for "-". Raises BadFile if it can't be read."""
    try:
        file = nullcontext(sys.stdin.buffer) if path == STDIN else open(path, "rb")  # noqa: SIM115  # see below
    except OSError as error:
        raise BadFile(_reason(error)) from error
    with file as stream:  # what goes wrong within this context is not ours
        yield Source(cast(BufferedReader, stream), size=0 if path == STDIN else os.path.getsize(path))


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the gzip stream is truncated"
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return f"the gzip stream is broken: {error}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def detect(source: Source, model: type[Entity]) -> str:
    """The format that the file's first bytes are in."""
    start = source.start.decode("latin-1").lstrip()
    if _head(model).match(start):
        return "json"
    return "ndjson" if start.startswith("{") or not start else "csv"


def ndjson_rows(source: Source) -> Iterator[FileRow]:
    """A row per line; empty lines are passed over."""
    for number, line in enumerate(source.lines(), start=1):
        if raw := line.strip():
            yield FileRow(number, raw)


def json_rows(source: Source, model: type[Entity]) -> Iterator[FileRow]:
    """The elements of `[…]` or of `{"pieces": […]}`, byte for byte as the file has them."""
    text = _Text(source)
    head = text.take(_head(model))
    if not head:
        raise text.error(f'expected a JSON array, or {{"{model.plural}": […]}}')
    separator = text.take(END)
    while separator != "]":
        yield text.element()
        separator = text.take(SEPARATOR)
        if not separator:
            raise text.error('expected "," or "]"')
    if head.startswith("{") and not text.take(CLOSING):
        raise text.error('expected "}"')
    if text.ready():
        raise text.error("there is more after the end of the JSON")


def _head(model: type[Entity]) -> "re.Pattern[str]":
    return re.compile(rf'(?:\{{\s*+"{model.plural}"\s*+:\s*+)?+\[')


class _Text:
    """A window that moves on through the file, and holds more than the largest row that is allowed. The bytes are read
    as Latin-1, which has a character for each: no chunk ends within one, and what is no UTF-8 stays as it is."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.window, self.at, self.line, self.has_more = "", 0, 1, True

    def error(self, message: str) -> BadFile:
        found = self.window[self.at : self.at + 1].encode("latin-1").decode(errors="replace")
        return BadFile(f"{message}, found {found!r}" if found else "the JSON breaks off", self.line)

    def ready(self) -> bool:
        """Moves on past any space, and reads on; False at the end of the file."""
        while True:
            mark = MARK.search(self.window, self.at)
            self._pass(mark.start() if mark else len(self.window))
            if not self.has_more or len(self.window) - self.at > MAX_ROW:
                return mark is not None
            more = self.source.read(CHUNK).decode("latin-1")
            self.window, self.at, self.has_more = self.window[self.at :] + more, 0, bool(more)

    def take(self, pattern: "re.Pattern[str]") -> str:
        """What the pattern matches after any space, which is then behind us; nothing if it does not match."""
        self.ready()
        match = pattern.match(self.window, self.at)
        return self._pass(match.end()) if match else ""

    def element(self) -> FileRow:
        if not self.ready() or self.window[self.at] in "]},":
            raise self.error("expected an item")
        try:
            end = DECODER.raw_decode(self.window, self.at)[1]
        except RecursionError as error:
            raise BadFile("the item that begins here has too many levels", self.line) from error
        except json.JSONDecodeError as error:
            if error.pos + len(r"\u0000") <= len(self.window) and not error.msg.startswith("Unterminated string"):
                raise BadFile(f"the item that begins here is no JSON: {error.msg}", self.line) from error
            if self.has_more:
                raise BadFile(f"the item that begins here is longer than {MAX_ROW // 2**20} MiB", self.line) from error
            raise BadFile("the JSON breaks off in the item that begins here", self.line) from error
        return FileRow(self.line, self._pass(end).encode("latin-1"))

    def _pass(self, end: int) -> str:
        """Moves on to `end`; what is then behind us."""
        passed, self.at = self.window[self.at : end], end
        self.line += passed.count("\n")
        return passed
