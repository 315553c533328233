"""Ending a long command where that is safe, between two batches for example, when a signal asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """While `handled`: the first signal is a KeyboardInterrupt as soon as the command is `interruptible`, the second
    one at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._interruptible = False

    @property
    def exit_code(self) -> int:
        """As a shell has it."""
        return 128 + (self.signal or 0)

    @contextmanager
    def handled(self) -> Iterator[None]:
        # `nohup` has SIGHUP ignored, and so it stays.
        wanted = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._receive) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_second, self.signal = self.signal is not None, number
        if is_second or self._interruptible:
            raise KeyboardInterrupt

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        self._interruptible = True
        try:
            if self.signal is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self._interruptible = False

    def between(self, batches: Iterator[T]) -> Iterator[T]:
        """The batches, until there is a signal."""
        while True:
            with self.interruptible():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
