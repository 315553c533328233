"""What the fault suite counts, and what it holds against the server: one set of figures for all threads."""

import json
import threading
from collections import Counter
from pathlib import Path

MAX_COMPLAINTS = 20


class Figures:
    """Counts by name, complaints (each a broken promise), and the fault log of the server's own deaths."""

    def __init__(self, fault_log: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.complaints: Counter[str] = Counter()
        self.examples: list[str] = []
        self._answers: dict[str, bytes] = {}
        self._log, self._read = fault_log, 0
        self._lock = threading.Lock()

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def killed(self, what: str) -> None:
        with self._lock:
            self.kills[what] += 1

    def complain(self, promise: str, example: str) -> None:
        with self._lock:
            self.complaints[promise] += 1
            if len(self.examples) < MAX_COMPLAINTS:
                self.examples.append(f"{promise}: {example[:600]}")

    def answer_before_death(self, key: str) -> bytes | None:
        """What the server was about to answer under this key, had it not died after the commit."""
        self.read_fault_log()
        with self._lock:
            return self._answers.get(key)

    def read_fault_log(self) -> None:
        """Takes in the deaths at named points since the last time."""
        with self._lock:
            if not self._log.exists():
                return
            with self._log.open("rb") as file:
                file.seek(self._read)
                lines = file.readlines()
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                death = json.loads(line)
                self.kills[f"{death['target']} at '{death['point']}'"] += 1
                if death["answer"] is not None:
                    self._answers.setdefault(death["key"], death["answer"].encode())

    @property
    def total_kills(self) -> int:
        self.read_fault_log()
        with self._lock:
            return sum(self.kills.values())

    @property
    def batches(self) -> int:
        with self._lock:
            return self.counts["batches"]
