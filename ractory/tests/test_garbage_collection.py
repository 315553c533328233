"""What the garbage collector leaves alone."""

import gc

from ractory import garbage_collection


def test_what_is_there_is_not_walked_through_again() -> None:
    there = [object()]
    assert any(each is there for each in gc.get_objects())
    garbage_collection.tune()
    new = [object()]
    tracked = gc.get_objects()
    assert not any(each is there for each in tracked)
    assert any(each is new for each in tracked)
    assert gc.get_threshold()[0] >= 10_000
