"""How far a long command has got: a bar on a terminal, now and then a line in a pipe; always on standard error."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

QUIET_SECONDS = 30  # between two lines in a pipe
tqdm.monitor_interval = 0  # no thread beside the work


def say(line: str) -> None:
    """A line on standard error, above the bar if there is one."""
    tqdm.write(line, file=sys.stderr)


class Meter:
    """Shows rows and rate, and, where the size of the file is known, percent and the time left."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.bar = tqdm(total=size, unit="B" if size else "rows", unit_scale=True, disable=None, leave=False)
        self.started = self.said = time.monotonic()
        self.first: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def show(self, rows: int, position: int = 0) -> None:
        """`rows` are done, and `position` of `size` bytes."""
        now = time.monotonic()
        if self.first is None:  # those that an earlier run has done
            self.first = rows
        rate = (rows - self.first) / (now - self.started) if now > self.started else 0.0
        if not self.bar.disable:
            self.bar.set_postfix_str(f"{rows:,} rows, {rate:,.0f}/s", refresh=False)
            self.bar.update((position if self.size else rows) - self.bar.n)
        elif now - self.said >= QUIET_SECONDS:
            self.said = now
            part = f", {position / self.size:.0%}" if self.size else ""
            say(f"{rows:,} rows{part}, {rate:,.0f} rows/s")
