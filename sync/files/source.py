"""The bytes of a file that is imported: plain or gzip, from a path or from standard input, never all of it at once."""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import IO, cast

MAX_ROW = 4 * 1024 * 1024  # bytes; the largest valid piece, every character escaped, has less than half of it
STDIN = "-"
GZIP = b"\x1f"  # no text begins with it
BOM = b"\xef\xbb\xbf"
OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


class BadFile(Exception):
    """The file can't be read on from `line` (counted from 1; None: from the start); what came before it counts."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")


class Source:
    """A stream of bytes that ends in BadFile if it can't be read. A byte order mark and gzip are taken off."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.size: int | None = None  # bytes as they lie on the disk; None for a stream
        self._line = 0  # of the line that is being read
        with self._reading():
            if file.seekable():
                start = file.tell()
                self.size = file.seek(0, os.SEEK_END)
                file.seek(start)
            is_gzip = file.peek(1)[:1] == GZIP
            self._stream = cast(IO[bytes], gzip.GzipFile(fileobj=file) if is_gzip else file)
            self._ahead = self._stream.read(len(BOM))
        if self._ahead.startswith(OTHER_ENCODINGS):
            raise BadFile("the file is in UTF-16; save it as UTF-8", 1)
        if self._ahead == BOM:
            self._ahead = b""

    @property
    def position(self) -> int:
        """How many of `size` bytes have been read."""
        return self._file.tell() if self.size is not None else 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; they stay there to be read."""
        with self._reading():
            self._ahead += self._stream.read(max(0, size - len(self._ahead)))
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        with self._reading():
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return taken or self._stream.read(size)

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends. Raises BadFile at one of more than MAX_ROW bytes."""
        readline = self._stream.readline
        with self._reading():
            while True:
                self._line += 1
                line, newline, self._ahead = self._ahead.partition(b"\n")  # of what was peeked at
                line += newline or readline(MAX_ROW + 1)
                if not line:
                    return
                if len(line) > MAX_ROW:
                    raise BadFile(f"the line is longer than {MAX_ROW // 2**20} MiB", self._line)
                yield line

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            raise BadFile(_reason(error), self._line or None) from error


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The file at `path`, or standard input for "-". Raises BadFile if it can't be read."""
    if path == STDIN:
        yield Source(cast(BufferedReader, sys.stdin.buffer))
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  # what goes wrong within the context is not ours
    except OSError as error:
        raise BadFile(_reason(error)) from error
    with file:
        yield Source(file)


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the gzip stream is truncated"
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return f"the gzip stream is broken: {error}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
