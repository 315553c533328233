"""How far a long command has got: a bar on a terminal, now and then a line in a pipe; always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

QUIET_SECONDS = 30  # between two lines in a pipe
tqdm.monitor_interval = 0  # no thread beside the work


def say(line: str) -> None:
    """A line on standard error, above the bar if there is one."""
    tqdm.write(line, file=sys.stderr)


@contextmanager
def meter(size: int | None, done: int = 0) -> Iterator[Callable[[int, int], None]]:
    """A function that is told how many rows are done, `done` ones of an earlier run with them, and how many bytes of
    `size`; it shows the rate, and percent and the time left where there is a size."""
    started = said = time.monotonic()

    def show(rows: int, position: int) -> None:
        nonlocal said
        now = time.monotonic()
        rate = (rows - done) / (now - started) if now > started else 0.0
        if not bar.disable:
            bar.set_postfix_str(f"{rows:,} rows, {rate:,.0f}/s", refresh=False)
            bar.update((position if size else rows) - bar.n)
        elif now - said >= QUIET_SECONDS:
            said = now
            part = f", {position / size:.0%}" if size else ""
            say(f"{rows:,} rows{part}, {rate:,.0f} rows/s")

    with tqdm(total=size, unit="B" if size else "rows", unit_scale=True, disable=None, leave=False) as bar:
        yield show
