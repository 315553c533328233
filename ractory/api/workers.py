"""Sharing metrics between gunicorn's workers: each writes files of its own, and a scrape reads those of all.

Files belong to slots, not to processes: a worker that is replaced hands its slot on, so that counters go on where they
were and the files stay as few as the workers. gunicorn.conf.py calls this.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from itertools import count

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name
SLOT = "RACTORY_WORKER_SLOT"


@cache  # gunicorn reads its configuration again at SIGHUP; the metrics that are there stay with their files
def share_metrics(parent: str | None) -> None:
    """Makes the directory of the files in `parent`, to be removed when this process ends. Comes before any metric.

    A directory that DIRECTORY names already is used as it is, and stays.
    """
    if DIRECTORY not in os.environ:
        directory = os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="ractory-metrics-", dir=parent)
        atexit.register(_remove, directory, owner=os.getpid())
    values.ValueClass = values.MultiProcessValue(lambda: os.environ.get(SLOT, "parent"))  # type: ignore[no-untyped-call]  # partly typed


def _remove(directory: str, *, owner: int) -> None:
    if os.getpid() == owner:  # not in a worker, which runs this as well when it ends
        shutil.rmtree(directory, ignore_errors=True)


def free_slot(taken: Iterable[int]) -> int:
    """The lowest slot that no living worker has."""
    used = set(taken)
    return next(slot for slot in count() if slot not in used)


def enter_slot(slot: int) -> None:
    """In a new worker: from now on its metrics go to the files of this slot."""
    os.environ[SLOT] = str(slot)


def leave_slot(slot: int) -> None:
    """In the parent, once a worker has ended: what it was in the middle of does not go on."""
    mark_process_dead(slot)  # type: ignore[no-untyped-call]  # partly typed
