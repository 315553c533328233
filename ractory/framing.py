"""Where an HTTP/1.1 request ends (RFC 9112, section 6), followed as its bytes come in.

Nothing is judged here: a request that can't be framed is over at once, for gunicorn's parser to refuse.
"""

import re

MAX_HEAD = 1024 * 1024  # bytes of the head, or of trailers; the parser's own limits are below
MAX_LINE = 64 * 1024  # of a chunk's size

_LENGTH = re.compile(rb"(?mi)^content-length[ \t]*:([^\r\n]*)")
_CODING = re.compile(rb"(?mi)^transfer-encoding[ \t]*:([^\r\n]*)")
_EXPECTS = re.compile(rb"(?mi)^expect[ \t]*:[ \t]*100-continue")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class Framing:
    """One request: `feed` it with what comes until it is `complete`. A body above `limit` bytes is not waited for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.complete = False
        self.whole = True  # False if it was given up, so that where the next request begins is not known
        self.wants_100 = False
        self._state = self._in_head
        self._head, self._line = bytearray(), bytearray()
        self._left = self._body = self._trailers = 0

    @property
    def has_begun(self) -> bool:
        return bool(self._head)

    def feed(self, data: bytes) -> int:
        """How many of these bytes are the request's own; those behind them are the next one's."""
        at = 0
        while at < len(data) and not self.complete:
            at = self._state(data, at)
        return at

    def give_up(self) -> None:
        self.complete, self.whole = True, False

    def _in_head(self, data: bytes, at: int) -> int:
        searched = max(0, len(self._head) - 3)
        self._head += data[at:]
        end = self._head.find(b"\r\n\r\n", searched) + 4
        if end < 4:
            if len(self._head) > MAX_HEAD:
                self.give_up()
            return len(data)
        behind = len(self._head) - end
        del self._head[end:]
        self._frame_body()
        return len(data) - behind

    def _frame_body(self) -> None:
        lengths, codings = _LENGTH.findall(self._head), _CODING.findall(self._head)
        if not codings and not lengths:
            self.complete = True
        elif [coding.strip().lower() for coding in codings] == [b"chunked"] and not lengths:
            self._state = self._in_size
        elif len(lengths) == 1 and not codings and re.fullmatch(rb"[0-9]{1,15}", lengths[0].strip()):
            self._left = int(lengths[0])
            self._state, self.complete = self._in_body, self._left == 0
            if self._left > self.limit:
                self.give_up()
        else:
            self.give_up()
        self.wants_100 = not self.complete and _EXPECTS.search(self._head) is not None

    def _in_body(self, data: bytes, at: int) -> int:
        taken = min(self._left, len(data) - at)
        self._left -= taken
        self.complete = self._left == 0
        return at + taken

    def _in_size(self, data: bytes, at: int) -> int:
        at = self._take_line(data, at)
        if self._line.endswith(b"\n"):
            size = _SIZE.match(self._line)
            self._left = int(size[0], 16) + 2 if size else 0
            self._body += self._left
            if size is None or self._body > self.limit + self.limit // 8:  # the application counts to the byte
                self.give_up()
            self._state = self._in_trailers if self._left == 2 else self._in_chunk
            self._line.clear()
        return at

    def _in_chunk(self, data: bytes, at: int) -> int:
        taken = min(self._left, len(data) - at)
        self._left -= taken
        if not self._left:
            self._state = self._in_size
        return at + taken

    def _in_trailers(self, data: bytes, at: int) -> int:
        at = self._take_line(data, at)
        if self._line.endswith(b"\n"):
            self._trailers += len(self._line)
            self.complete = not self._line.strip(b"\r\n")
            self._line.clear()
        if self._trailers > MAX_HEAD:
            self.give_up()
        return at

    def _take_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        self._line += data[at:end]
        if len(self._line) > MAX_LINE:
            self.give_up()
        return end
