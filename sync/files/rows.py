"""From the bytes of a file to its rows, each still raw JSON: NDJSON, or one JSON array of any length.

What is inside a row is for sync.schemas to decode and check, a batch at a time. CSV is in sync.files.tables.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from pieces.models import Entity
from ractory.api.errors import Fault
from sync.files.source import MAX_ROW, BadFile, Source

CHUNK = 1024 * 1024  # bytes
MARK, END, SEPARATOR, CLOSING = (re.compile(mark) for mark in (r"[^ \t\r\n]", r"\]", r"[,\]]", r"\}"))
# It is only asked where a value ends. What it makes of numbers is thrown away, and `float` takes any length of them.
DECODER = json.JSONDecoder(strict=False, parse_int=float)


class Row(NamedTuple):
    """One item: where it begins (counted from 1), its JSON, and what the reader of the file found wrong with it."""

    line: int
    raw: bytes
    fault: Fault | None = None


def detect(source: Source, model: type[Entity]) -> str:
    """The format that the file's first bytes are in."""
    start = source.peek(64).decode("latin-1").lstrip()
    if _head(model).match(start):
        return "json"
    return "ndjson" if start.startswith("{") or not start else "csv"


def ndjson_rows(source: Source) -> Iterator[Row]:
    """A row per line; empty lines are passed over."""
    for number, line in enumerate(source.lines(), start=1):
        if raw := line.strip():
            yield Row(number, raw)


def json_rows(source: Source, model: type[Entity]) -> Iterator[Row]:
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
    """A window that moves on through the file, and holds more than the largest row that is allowed.

    The bytes are read as Latin-1, which has a character for each of them: so no chunk ends within a character, places
    in the text are places in the file, and what is no UTF-8 stays as it is, for the schema to judge.
    """

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

    def element(self) -> Row:
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
        return Row(self.line, self._pass(end).encode("latin-1"))

    def _pass(self, end: int) -> str:
        """Moves on to `end`; what is then behind us."""
        passed, self.at = self.window[self.at : end], end
        self.line += passed.count("\n")
        return passed
