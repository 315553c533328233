"""How a long command runs: it shows how far it has got, ends where that is safe when a signal asks for it, and leaves
no file that is not whole."""

import gzip
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import IO, cast

from django.core.management.base import CommandError
from tqdm import tqdm

QUIET_SECONDS = 30  # between two lines in a pipe
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
tqdm.monitor_interval = 0  # no thread beside the work


def say(line: str) -> None:
    """A line on standard error, above the bar if there is one."""
    tqdm.write(line, file=sys.stderr)


@contextmanager
def meter(size: int, done: int = 0) -> Iterator[Callable[[int, int], None]]:
    """A function to be given the rows that are done (`done` by an earlier run) and the bytes of `size`. It shows the
    rate, and the time left where there is a size: by a bar on a terminal, by a line now and then in a pipe."""
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

    with tqdm(total=size or None, unit="B" if size else "rows", unit_scale=True, disable=None, leave=False) as bar:
        yield show


@contextmanager
def held() -> Iterator[None]:
    """What is done within is finished before a signal ends the command. A second signal does not wait for it."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt(number)

    wanted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt(received[0])


@contextmanager
def written(path: str) -> Iterator[IO[bytes]]:
    """A file that is there, whole and on the disk, once the context has ended well; gzip if its name ends so. Until
    then it has another name, in the same directory. Only its owner may read it. Raises CommandError if that can't
    be."""
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".export-")
        with os.fdopen(descriptor, "wb") as file:
            # Neither name nor time is in it: the same rows are the same bytes.
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.endswith(".gz") else nullcontext(file)
            with packed as target:
                yield cast(IO[bytes], target)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    finally:
        if temporary:
            os.unlink(temporary)
