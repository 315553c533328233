"""From the bytes of a file to its rows, each still raw JSON: NDJSON, or one JSON array of any length.

What is inside a row is for sync.schemas to decode and check, a batch at a time. CSV is in sync.files.tables.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pieces.models import Entity
from ractory.api.errors import Fault
from sync.files.source import MAX_ROW, BadFile, Source

CHUNK = 1024 * 1024  # bytes
SPACE = re.compile(rb"[ \t\r\n]*+")
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Nearly every row is an object without others in it: one look of the regular expression engine.
FLAT = re.compile(rb'\{[^"{}\[\]]*+(?:' + STRING + rb'[^"{}\[\]]*+)*+\}', re.DOTALL)
MARK = re.compile(STRING + rb'|["{}\[\]]', re.DOTALL)  # a quotation mark of its own: the window ends in a string
OPENING, SEPARATOR, END, CLOSING = (re.compile(mark) for mark in (rb"\[", rb"[,\]]", rb"\]", rb"\}"))
SCALAR = re.compile(STRING + rb'|[^\s"{}\[\],]++', re.DOTALL)


class Row(NamedTuple):
    """One item: where it begins (counted from 1), its JSON, and what the reader of the file found wrong with it."""

    line: int
    raw: bytes
    fault: Fault | None = None


def detect(source: Source, model: type[Entity]) -> str:
    """The format that the file's first bytes are in."""
    start = source.peek(64).lstrip()
    if start.startswith(b"[") or _head(model).match(start):
        return "json"
    return "ndjson" if start.startswith(b"{") or not start else "csv"


def ndjson_rows(source: Source) -> Iterator[Row]:
    """A row per line; empty lines are passed over."""
    for number, line in enumerate(source.lines(), start=1):
        if raw := line.strip():
            yield Row(number, raw)


def json_rows(source: Source, model: type[Entity]) -> Iterator[Row]:
    """The elements of `[…]` or of `{"pieces": […]}`, as the file has them."""
    text = _Text(source)
    text.skip_space()
    text.fill(64)  # enough for the head
    wrapped = text.take(_head(model))
    if not wrapped and not text.take(OPENING):
        raise text.error(f'expected a JSON array, or {{"{model.plural}": […]}}')
    text.skip_space()
    ended = bool(text.take(END))
    while not ended:
        yield text.element()
        text.skip_space()
        separator = text.take(SEPARATOR)
        if not separator:
            raise text.error('expected "," or "]"')
        ended = separator == b"]"
        text.skip_space()
    text.skip_space()
    if wrapped and not text.take(CLOSING):
        raise text.error('expected "}"')
    text.skip_space()
    if not text.is_at_end():
        raise text.error("there is more after the end of the JSON")


def _head(model: type[Entity]) -> "re.Pattern[bytes]":
    return re.compile(rb'\{\s*+"%s"\s*+:\s*+\[' % model.plural.encode())


class _Text:
    """A window of the file that moves on; no element of more than MAX_ROW bytes fits into it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.window, self.at, self.line = b"", 0, 1

    def error(self, message: str) -> BadFile:
        found = bytes(self.window[self.at : self.at + 1]).decode(errors="replace")
        return BadFile(f"{message}, found {found!r}" if found else "the JSON breaks off", self.line)

    def fill(self, size: int) -> None:
        """Reads on until that many bytes are there, if the file has them."""
        while len(self.window) - self.at < size and self._grow():
            pass

    def skip_space(self) -> None:
        while True:
            match = SPACE.match(self.window, self.at)
            self._pass(match.end() if match else self.at)
            if self.at < len(self.window) or not self._grow():
                return

    def is_at_end(self) -> bool:
        return self.at == len(self.window)

    def take(self, pattern: "re.Pattern[bytes]") -> bytes:
        """What the pattern matches here, which is then behind us; nothing if it does not match."""
        match = pattern.match(self.window, self.at)
        if match is None:
            return b""
        self._pass(match.end())
        return match[0]

    def element(self) -> Row:
        while (end := self._end_of_element()) is None:
            if len(self.window) - self.at > MAX_ROW:
                raise BadFile(f"the item that begins here is longer than {MAX_ROW // 2**20} MiB", self.line)
            if not self._grow():
                raise BadFile("the JSON breaks off in the item that begins here", self.line)
        row = Row(self.line, self.window[self.at : end])
        self._pass(end)
        return row

    def _end_of_element(self) -> int | None:
        """Where the element that begins here ends; None if it may go on after the window."""
        if match := FLAT.match(self.window, self.at):
            return match.end()
        if self.window[self.at : self.at + 1] not in (b"{", b"["):
            match = SCALAR.match(self.window, self.at)
            if match is None and self.window[self.at : self.at + 1] != b'"':
                raise self.error("expected an item")
            return match.end() if match and match.end() < len(self.window) else None
        depth = 0
        for mark in MARK.finditer(self.window, self.at):
            if mark[0] == b'"':
                return None
            depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(mark[0], 0)
            if depth == 0:
                return mark.end()
        return None

    def _pass(self, end: int) -> None:
        self.line += self.window.count(b"\n", self.at, end)
        self.at = end

    def _grow(self) -> bool:
        """Reads on, and forgets what is behind us; False at the end of the file."""
        more = self.source.read(CHUNK)
        self.window, self.at = self.window[self.at :] + more, 0
        return bool(more)
