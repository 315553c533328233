"""Clients that write the same rows in opposite orders: none may see a 5xx, on PostgreSQL or on SQLite."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.faults.workload import Item
from client.ractory_client import Client, Dropped

CLIENTS = 6


@dataclass(slots=True)
class Overlap:
    """How often each status came; "dropped" for a connection without an answer."""

    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds

    @property
    def is_clean(self) -> bool:
        """Everything was answered, by 200 or by a 409 to wait for, and something was written."""
        return set(self.statuses) <= {"200", "409"} and self.statuses["200"] > 0


def overlap(connect: Callable[[], Client], items: list[Item], *, seconds: float, seed: int) -> Overlap:
    """Six clients that update overlapping parts of `items` (pieces) for so many seconds."""
    result, lock = Overlap(), threading.Lock()
    deadline = time.monotonic() + seconds

    def write(number: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        with connect() as client:
            turn = 0
            while time.monotonic() < deadline:
                turn += 1
                part = rng.sample(items, rng.randint(len(items) // 2, len(items)))
                part.sort(key=lambda item: str(item["guid"]), reverse=bool(number % 2))
                part = [{**item, "cell": f"{number}/{turn}"} for item in part]
                started = time.monotonic()
                status = _post(client, part, f"overlap/{seed}/{number}/{turn}")
                with lock:
                    result.statuses[status] += 1
                    result.slowest = max(result.slowest, time.monotonic() - started)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


def _post(client: Client, items: list[Item], key: str) -> str:
    try:
        return str(client.post("/api/v1/sync/pieces", json.dumps({"pieces": items}).encode(), key).status)
    except Dropped:
        return "dropped"
