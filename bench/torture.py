"""Kills the server and its database again and again under load, and counts what was lost, doubled or torn; before that
it fills the disk, lets database and replica hang, takes all connections, and restarts hosts one after the other. At the
end it moves a company of TORTURE_PIECES pieces (100 000) to another database while its client pushes.

`python -m bench.torture` (or `make torture`) starts a PostgreSQL and a gunicorn of its own and besieges them until
TORTURE_KILLS kills (500) and TORTURE_BATCHES batches (5000) are done, for at most TORTURE_SECONDS (1500); then six
clients write the same rows in opposite orders for TORTURE_OVERLAP seconds (60). TORTURE_SEED repeats what is sent and
killed. It ends with a table and exits with 0 if every promise was kept and everything asked for was done.
"""

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.faults.disk import fill_disk
from bench.faults.moving import PIECES, is_kept, move
from bench.faults.outages import outages
from bench.faults.overlap import Overlap, overlap
from bench.faults.siege import Siege, siege
from client.ractory_client import push

KILLS_A_ROUND, PAUSE = 20, 0.9  # seconds between two strikes of the reaper, in the mean
PROMISES = ("lost", "doubled", "torn", "refused, yet written", "answers to one key differ", "check_integrity")


def main() -> int:
    kills, batches = _asked("KILLS", 500), _asked("BATCHES", 5000)
    seconds, overlap_seconds = _asked("SECONDS", 1500), _asked("OVERLAP", 60)
    seed = _asked("SEED", random.SystemRandom().randrange(10**6))
    started = time.monotonic()
    print(f"seed {seed}: {kills} kills and {batches} batches in at most {seconds} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="ractory-torture-") as folder, siege(seed, Path(folder)) as under_siege:
        os.chmod(folder, 0o755)  # PostgreSQL may run as another user
        has_filled = fill_disk(under_siege, Path(folder))
        outages(under_siege, Path(folder))
        deadline = started + seconds - overlap_seconds
        _rounds(under_siege, kills=kills, batches=batches, deadline=deadline)
        met = _overlap(under_siege, overlap_seconds)
        is_done = under_siege.figures.total_kills >= kills and under_siege.figures.batches >= batches
    with tempfile.TemporaryDirectory(prefix="ractory-torture-") as folder:
        moved = move(Path(folder), _asked("PIECES", PIECES))
    _print_table(under_siege, met, has_filled=has_filled, seconds=time.monotonic() - started)
    for name, value in moved.items():
        print(f"moving a company: {name:22} {value}")
    if not is_done:
        print("FAILED: a promise was broken, or the time was over, before all was done")
    return 0 if is_done and met.is_clean and is_kept(moved) and not under_siege.figures.complaints else 1


def _asked(name: str, default: int) -> int:
    return int(os.environ.get(f"TORTURE_{name}") or default)


def _rounds(under_siege: Siege, *, kills: int, batches: int, deadline: float) -> None:
    figures = under_siege.figures
    rounds = max(1, kills // KILLS_A_ROUND)
    while figures.total_kills < kills or figures.batches < batches:
        if time.monotonic() > deadline or figures.complaints:
            return
        under_siege.round(kills=KILLS_A_ROUND, batches=batches // rounds, pause=PAUSE, deadline=deadline)
        print(f"round {under_siege.rounds}: {figures.total_kills} kills, {figures.batches} batches", flush=True)


def _overlap(under_siege: Siege, seconds: float) -> Overlap:
    above = under_siege.component("overlap")
    items = [
        {**above, "guid": under_siege.guid("overlap", number), "piece_id": f"overlap/{number}"} for number in range(200)
    ]
    with under_siege.client() as client:
        list(push(client, "pieces", items))
    return overlap(under_siege.client, items, seconds=seconds, seed=under_siege.seed)


def _print_table(under_siege: Siege, met: Overlap, *, has_filled: bool, seconds: float) -> None:
    figures = under_siege.figures
    lines: list[tuple[str, object]] = [("seed", under_siege.seed), ("seconds", round(seconds))]
    lines += [("kills (SIGKILL)", figures.total_kills)]
    lines += [(f"  {name}", number) for name, number in sorted(figures.kills.items())]
    lines += sorted(figures.counts.items())
    lines += [("a full disk", "tried" if has_filled else "not to be had here: needs root, to mount a tmpfs")]
    lines += [(f"overlapping: {status}", number) for status, number in sorted(met.statuses.items())]
    lines += [("overlapping: slowest answer, ms", round(met.slowest * 1000))]
    lines += [(f"BROKEN {name}", number) for name, number in figures.complaints.items() if name not in PROMISES]
    lines += [(name, figures.complaints[name]) for name in PROMISES]
    for name, value in lines:
        print(f"{name:40} {value}")
    for example in figures.examples:
        print(example)
    print(json.dumps({"seed": under_siege.seed, "complaints": dict(figures.complaints)}))


if __name__ == "__main__":
    sys.exit(main())
