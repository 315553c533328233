"""Ending a long command between two batches when SIGINT or SIGTERM asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """A signal came while nothing was being written."""


class Stop:
    """While `handled`: the first signal waits for what is being written, but not for what is being read; the second
    one is a KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._reading = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, number
        if again:
            raise KeyboardInterrupt
        if self._reading:
            raise Stopped

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises Stopped if there was, or is, a signal."""
        self._reading = True
        try:
            if self.signal is not None:
                raise Stopped
            yield
        finally:
            self._reading = False

    def between(self, batches: Iterator[T]) -> Iterator[T]:
        """The batches, until there is a signal; then it raises Stopped."""
        while True:
            with self.reading():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch
