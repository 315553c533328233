"""Ending a long command where that is safe, between two batches for example, when a signal asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal came in an interruptible part of the command."""


class Stop:
    """While `handled`: the first signal waits until the command is `interruptible`, the second one is a
    KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._interruptible = False

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
        again, self.signal = self.signal is not None, number
        if again:
            raise KeyboardInterrupt
        if self._interruptible:
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raises Stopped if there was, or is, a signal."""
        self._interruptible = True
        try:
            if self.signal is not None:
                raise Stopped
            yield
        finally:
            self._interruptible = False

    def between(self, batches: Iterator[T]) -> Iterator[T]:
        """The batches, until there is a signal; then it raises Stopped."""
        while True:
            with self.interruptible():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch
