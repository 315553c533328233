"""Exactly once: a request that is sent again under its Idempotency-Key gets its first answer (contract, "Sync"). Claim,
data and answer are one transaction: a crash leaves nothing of the three, or all."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import orjson
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.exceptions import ParseError

from pieces.receipts import MAX_KEY
from ractory.api.errors import ConflictRetry, Fault, Unprocessable, shown
from ractory.api.redaction import holds_secret
from sync.models import IdempotentAnswer
from sync.submission import Claim, Run
from tenants.scope import Scope, within

KEPT = timedelta(hours=24)


class Replayed(Exception):
    """The request has been answered before: so."""

    def __init__(self, answer: HttpResponse) -> None:
        self.answer = answer


@dataclass(frozen=True, slots=True)
class IdempotencyClaim(Claim):
    """A caller's key for one request, which `fingerprint` tells from another; `shown` makes its answer. Whether the key
    is one at all is asked after what is wrong with the body."""

    caller: uuid.UUID
    company: uuid.UUID | None  # the caller's own; None for a SystemAdmin, whatever company the request names
    key: str
    fingerprint: bytes  # 32 that stand for the request
    shown: Callable[[Run], HttpResponse]

    def take(self) -> None:
        """Claims the key until the transaction ends. Raises Replayed if the request has been answered already, 400 for
        a bad key, 409 while another transaction has claimed it, 422 if it was another request's."""
        checked_key(self.key)
        if connection.vendor == "postgresql":  # on SQLite a writing transaction is alone, and others wait for it
            name = self.caller.bytes + self.key.encode()
            number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)
            if connection.cursor().execute("SELECT pg_try_advisory_xact_lock(%s)", [number]).fetchone() != (True,):
                raise ConflictRetry("The first request under this Idempotency-Key is still running.")
        with within(Scope(self.company)):
            rows = IdempotentAnswer.objects.filter(caller_guid=self.caller, key=self.key)
            kept = rows.filter(created_at__gt=timezone.now() - KEPT).first()
            if kept is None:
                rows.delete()  # one that is too old makes room
                return
        if bytes(kept.fingerprint) != self.fingerprint:
            msg = f"The Idempotency-Key {shown(self.key)} was used for another request"
            raise Unprocessable([Fault(("body",), msg, "idempotency_key_reused")])
        headers = orjson.loads(kept.headers_json) | {"Idempotent-Replayed": "true"}
        raise Replayed(HttpResponse(bytes(kept.body), content_type="application/json", headers=headers))

    def keep(self, run: Run) -> None:
        """Keeps the answer with the data that is written in the same transaction."""
        answer = self.shown(run)
        headers = {name: value for name, value in answer.items() if name != "Content-Type"}
        with within(Scope(self.company)):
            IdempotentAnswer.objects.create(
                caller_guid=self.caller,
                key=self.key,
                company_guid=run.company,
                fingerprint=self.fingerprint,
                body=answer.content,
                headers_json=orjson.dumps(headers).decode(),
            )


def checked_key(text: str) -> str:
    """The header's value; 400 for one that is empty, too long, not printable, or a secret."""
    if not (0 < len(text) <= MAX_KEY and text.isprintable()):
        raise ParseError(f"An Idempotency-Key has 1 to {MAX_KEY} printable characters.")
    if holds_secret(text):  # it is stored, and shown in receipts
        raise ParseError("An Idempotency-Key must not be an API key or a token.")
    return text
