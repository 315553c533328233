"""The garbage collector in processes that work through batches."""

import gc


def settle() -> None:
    """What has been imported stays for good. Left to the collector, it would be walked through for 40 ms every few
    batches; and a batch's thousands of values, none of them in a cycle, would set it off a dozen times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
