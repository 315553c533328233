"""`make torture-feed`: eight writers that commit late, followers that are killed, a database that is restarted.

On PostgreSQL, through a replica and on SQLite, TORTURE_SECONDS (120) each; then on PostgreSQL with the horizon replaced
by a timestamp and by a sequence, which must be noticed. TORTURE_SEED repeats what is written. Exits with 0 if nothing
was missed where nothing may be, and something was where it must.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

from bench.faults.follow import torture

BROKEN_SECONDS = 20


def main() -> int:
    seconds = float(os.environ.get("TORTURE_SECONDS") or 120)
    seed = int(os.environ.get("TORTURE_SEED") or random.SystemRandom().randrange(10**6))
    runs = [("postgresql", 2, ""), ("replica", 2, ""), ("sqlite", 0, "")]
    runs += [("postgresql", 0, "timestamp"), ("postgresql", 0, "sequence")]
    is_well = True
    for way, restarts, order in runs:
        with tempfile.TemporaryDirectory(prefix="ractory-feed-") as folder:
            os.chmod(folder, 0o755)  # PostgreSQL may run as another user
            lasts = min(seconds, BROKEN_SECONDS) if order else seconds
            outcome = torture(Path(folder), way=way, seconds=lasts, seed=seed, restarts=restarts, order=order)
        is_well &= outcome.is_clean is not bool(order)
        print(f"--- {way}{order and f', by a {order}'}, seed {seed}, {lasts:.0f} s", flush=True)
        for name, number in sorted(outcome.counts.items()):
            print(f"{name:40} {number}")
        print(f"{'rows that a cursor has passed by':40} {len(outcome.missed)}")
        print(f"{'rows that differ at the end':40} {len(outcome.differing)}")
        for example in (*outcome.missed[:3], *outcome.differing[:3]):
            print(f"  {example}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
