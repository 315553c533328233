"""The torture of the change feed in short; `make torture-feed` is the long one. What happens: bench.faults.follow."""

from pathlib import Path

import pytest

from bench.faults.follow import torture

SEED = 20261


@pytest.mark.postgresql
def test_nothing_is_missed_while_transactions_commit_late_and_all_is_killed(tmp_path: Path) -> None:
    outcome = torture(tmp_path, way="postgresql", seconds=5, seed=SEED, restarts=1)
    assert outcome.is_clean, (outcome.missed, outcome.differing)
    assert outcome.counts["POST sync: 200"] > 5
    assert outcome.counts["followers killed"] > 2
    assert outcome.counts["pages of the witness"] > 5
    assert not [status for status in outcome.counts if status.endswith(": 500")]


@pytest.mark.postgresql
def test_an_order_that_is_taken_before_the_commit_would_be_noticed(tmp_path: Path) -> None:
    assert torture(tmp_path, way="postgresql", seconds=60, seed=SEED, order="sequence").missed
