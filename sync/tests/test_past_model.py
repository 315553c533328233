"""Random batches, edits, deletions, restores, moves, imports, undos and undos of undos, against an oracle that keeps
every state: whatever was done, `?at=` and the history are what was there, and an undo makes rows what they were before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync.tests.model import PARENTS
from sync.tests.oracle import KINDS, POOL, Past

PICTURES = [None, "AAAA", "AQID"]
CONTENT: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "project": {"code": st.sampled_from("ab"), "in_production": st.booleans()},
    "component": {"designation": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
    "assembly": {"trolley": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
    "piece": {"barcode": st.sampled_from(["", "a", None]), "picture": st.sampled_from(PICTURES)},
}
INDEX = st.integers(0, POOL - 1)
KIND = st.sampled_from([*KINDS, "piece", "piece"])


@st.composite
def an_item(draw: st.DrawFn, kind: str, index: int | None) -> dict[str, Any]:
    """An item with indices of the pool in place of guids; its upper parents are those of the lowest, mostly."""
    item: dict[str, Any] = {name: draw(values) for name, values in CONTENT[kind].items() if draw(st.booleans())}
    item |= {"guid": index, "fits": draw(st.integers(0, 15)) > 0, "piece_id": draw(st.sampled_from("0123"))}
    item |= {parent: draw(INDEX) for parent in PARENTS[kind] if parent != "assembly"}
    if kind == "piece":
        item["assembly"] = draw(st.sampled_from([None, 0, 1, 2, 0, 1]))
    if (active := draw(st.sampled_from([None, None, None, True, False]))) is not None:
        item["is_active"] = active
    return item


@st.composite
def a_batch(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(KIND)
    indices = draw(st.permutations([0, 1, 2, None]))[: draw(st.integers(1, 3))]
    return draw(st.sampled_from(["sync", "sync", "import"])), (kind, [draw(an_item(kind, n)) for n in indices])


ROW = st.tuples(KIND, INDEX)
UNDO = st.tuples(st.sampled_from([-1, -1, -1, -2, -2, -3, -4, -5, 0, 1, 2]), st.booleans())
OPERATIONS = st.lists(
    st.one_of(
        a_batch(),
        a_batch(),
        st.tuples(st.just("delete"), ROW),
        st.tuples(st.just("restore"), ROW),
        st.tuples(st.just("hand"), ROW),
        st.tuples(st.just("undo"), UNDO),
        st.tuples(st.just("undo"), UNDO),
        st.tuples(st.just("undo"), UNDO),
        st.tuples(st.just("undo_file"), st.tuples(INDEX, st.booleans())),
        st.tuples(st.just("undo_file"), st.tuples(INDEX, st.booleans())),
    ),
    min_size=4,
    max_size=12,
)


PIECE = {"guid": 0, "project": 0, "component": 0, "assembly": 0, "fits": True, "piece_id": "0"}
FILE = ("import", ("piece", [PIECE | {"barcode": "a"}, PIECE | {"barcode": ""}]))  # each in a batch of its own
UNDO_FILE = ("undo_file", (0, False))


@contextmanager
def an_example() -> Iterator[None]:
    """Rolled back at the end, so that what is checked of the whole database does not grow from one to the next."""
    outer = transaction.atomic()
    outer._from_testcase = True  # type: ignore[attr-defined]  # Django's own flag: others are the outermost in it
    with outer:
        yield
        transaction.set_rollback(True)


@pytest.mark.django_db
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
@example(operations=[FILE, UNDO_FILE, ("undo", (-1, False)), UNDO_FILE])
@example(operations=[FILE, ("hand", ("piece", 0)), UNDO_FILE, ("undo_file", (0, True))])
def test_whatever_is_done_the_past_is_kept_and_can_be_had_back(operations: list[tuple[str, Any]]) -> None:
    with an_example():
        past = Past()
        for name, what in operations:
            past.do(name, what)
        past.check()
