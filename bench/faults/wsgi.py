"""The product's WSGI application, which dies where a request's `X-Fault: POINT TARGET` header says.

The points are reached right after a step of a sync, of an undo or of a complete set; the targets are the `worker`
itself, its database `backend`, or the worker a moment later (`soon`), in whatever it does then. Only the fault suite
serves this; ractory knows nothing of it.
"""

import functools
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ractory.wsgi import application as product  # isort: split

from django.db import connection

import sync.runs  # what needs Django set up comes after the application
import sync.snapshots
import sync.submission
import sync.views
from pieces import changes
from pieces.receipts import Receipt
from sync.idempotency import IdempotencyClaim

POINTS: dict[str, tuple[Any, str]] = {
    "parsed": (sync.submission, "parse"),
    "claimed": (IdempotencyClaim, "take"),
    "planned": (sync.submission, "make_plan"),
    "updated": (changes, "update"),
    "inserted": (changes, "insert"),
    "written": (IdempotencyClaim, "keep"),  # the last statement before the commit
    "committed": (sync.views, "submit"),
    "noted": (sync.submission, "note_seen"),
    "locked": (sync.snapshots, "open_one"),
    "deleted": (sync.snapshots, "delete_together"),
    "receipt": (Receipt, "save"),
    "completed": (sync.snapshots, "complete"),  # and committed
    "undone": (sync.runs, "undo"),  # and committed
}
PREFER = {"return": "representation"}  # as bench.faults.writers asks
_due = {"point": "", "target": "", "key": ""}  # of the one request that a worker with one thread serves at a time


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    point, _, target = environ.get("HTTP_X_FAULT", "").partition(" ")
    _due.update(point=point, target=target, key=environ.get("HTTP_IDEMPOTENCY_KEY", ""))
    return product(environ, start_response)


def _dying(point: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def wrapped(*args: Any, **options: Any) -> Any:
        result = step(*args, **options)
        if _due["point"] == point:
            _due["point"] = ""
            _die(point, result)
        return result

    return wrapped


def _die(point: str, result: Any) -> None:
    if _due["target"] == "backend":
        try:
            os.kill(connection.connection.info.backend_pid, signal.SIGKILL)
        except ProcessLookupError:  # it has died with another one
            return
    answer = sync.views.shown_as(result, PREFER).content.decode() if point == "committed" else None
    line = json.dumps({**_due, "point": point, "answer": answer}) + "\n"
    log = os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, line.encode())
    os.close(log)
    if _due["target"] == "soon":
        threading.Timer(random.uniform(0, 0.01), os.kill, (os.getpid(), signal.SIGKILL)).start()
    elif _due["target"] == "worker":
        os.kill(os.getpid(), signal.SIGKILL)


for name, (owner, attribute) in POINTS.items():
    setattr(owner, attribute, _dying(name, getattr(owner, attribute)))
