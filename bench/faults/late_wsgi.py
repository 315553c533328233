"""The product's WSGI application, whose transactions take their time: `X-Late: SECONDS` sleeps between the last write
and the commit, `X-Late: undo` takes everything back. Only the torture of the change feed serves this.

CLOCK_BEHIND is by how many seconds this host's clock is behind. FEED_ORDER breaks the feed, to show that the torture
would notice: the order of commits is taken from a `sequence`, or from a `timestamp`, before the commit.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from ractory.wsgi import application as product  # isort: split

from django.utils import timezone

import sync.submission  # what needs Django set up comes after the application
from pieces import changes, expressions
from pieces.models import Act
from ractory.api.errors import Conflict
from ractory.api.retry import in_transaction

BEHIND = int(os.environ.get("CLOCK_BEHIND", "0"))
ORDER = os.environ.get("FEED_ORDER", "")
CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
BROKEN = {  # by the word of FEED_ORDER: an act's position, and the position that no later act can be below
    "sequence": ("nextval('bench_commits')", str(2**62)),
    "timestamp": (CLOCK, CLOCK),
}
_late = {"of": ""}  # of the one request that a worker with one thread serves at a time


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    _late["of"] = environ.get("HTTP_X_LATE", "")
    return product(environ, start_response)


def late_transaction(work: Callable[[], Any], **options: Any) -> Any:
    late, _late["of"] = _late["of"], ""  # the receipt of a refusal comes at once

    def wait() -> Any:
        result = work()
        if late == "undo":
            raise Conflict("taken back")
        time.sleep(float(late or 0))
        return result

    return in_transaction(wait, **options)


for module in (sync.submission, changes):
    setattr(module, "in_transaction", late_transaction)  # noqa: B010  # mypy has no such name there

if BEHIND:
    real_now, real_guid = timezone.now, Act._meta.pk.default
    timezone.now = lambda: real_now() - timedelta(seconds=BEHIND)
    Act._meta.pk.default = lambda: uuid.UUID(int=real_guid().int - (BEHIND * 1000 << 80))
if ORDER:
    expressions.CommitPosition.template, expressions.Horizon.template = BROKEN[ORDER]
    expressions.NextPosition.template = str(2**62)
