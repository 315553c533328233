"""What ends a process of the command line: each signal is a KeyboardInterrupt with its number (Ctrl-C: without one)."""

import signal
from types import FrameType
from typing import Any


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def catch_signals() -> dict[int, Any]:
    """SIGTERM and SIGHUP are a KeyboardInterrupt from now on; how they were handled before. Below `nohup` SIGHUP is
    ignored, and stays so."""
    caught = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, interrupt) for number in caught}


def exit_code(stop: KeyboardInterrupt) -> int:
    """As a shell has it."""
    return 128 + int((stop.args or (signal.SIGINT,))[0])
