"""The garbage collector's settings last as long as they are asked for."""

import gc

from ractory.garbage import settled


def test_settled_lets_the_collector_rest_and_puts_it_back() -> None:
    before = gc.get_threshold()
    with settled():
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
