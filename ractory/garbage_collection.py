"""The garbage collector in processes that work through batches."""

import gc


def tune() -> None:
    """Keeps what has been imported for good, and lets the collector run less often: it would walk through all of that
    for 40 ms every few batches, and a batch's thousands of values, none in a cycle, would set it off a dozen times."""
    gc.collect()
    gc.freeze()
    run_seldom()


def run_seldom() -> None:
    """At the start of a process: over what is imported, all of which stays, the collector would go a dozen times."""
    gc.set_threshold(50_000, 20, 20)
