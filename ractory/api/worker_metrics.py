"""Sharing metrics between gunicorn's workers: each writes files of its own, and a scrape reads those of all. Files
belong to slots: a worker that is replaced hands its slot on, so that counters go on and files stay few.
gunicorn.conf.py calls `share_metrics` before any metric is made, and gives each worker its slot."""

import atexit
import os
import shutil
import tempfile
from functools import cache

from prometheus_client import values

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name

slot: int | str = "parent"  # whose files this process writes


@cache  # gunicorn reads its configuration again at SIGHUP; the metrics that are there stay with their files
def share_metrics(parent: str | None) -> None:
    """Makes a directory in `parent` for the files, unless DIRECTORY names one; removes it when this process ends."""
    if DIRECTORY not in os.environ:
        directory = os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="ractory-metrics-", dir=parent)
        atexit.register(_remove, directory, owner=os.getpid())
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]  # partly typed


def _remove(directory: str, *, owner: int) -> None:
    if os.getpid() == owner:  # not in a worker, which runs this as well when it ends
        shutil.rmtree(directory, ignore_errors=True)
