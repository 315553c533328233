"""The four sync endpoints, `POST /api/v1/sync/{projects,components,assemblies,pieces}` (contract, "Sync")."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from itertools import accumulate
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from pieces.models import LEVELS, Entity, Operation
from pieces.views import ReceiptView
from ractory.api.body import read_json_body
from ractory.api.errors import Fault, Unprocessable
from ractory.api.query import Flag, Guid, Query, Text
from ractory.api.rendering import to_json
from sync.idempotency import IdempotencyClaim, Replayed, checked_key
from sync.matching import MATCHED_BY
from sync.models import Snapshot
from sync.openapi import described
from sync.schemas import split
from sync.snapshots import open_one
from sync.submission import Claim, Options, Run, submit
from tenants.permissions import MaySync
from tenants.scope import current_scope
from tenants.throttling import charge_rows
from tenants.views import caller_of

MAX_IGNORED_HEADER = 4000  # characters


class SyncQuery(Query):
    """The options of a sync."""

    dry_run = Flag(help_text="The full answer, and nothing is written.")
    match = Text(
        help_text="Items without a `guid` update the active row that has their `piece_id`, or `code`, already."
    )
    snapshot = Guid(help_text="The batch is part of this complete set.")

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model
        self.fields["match"].schema = {"type": "string", "enum": [MATCHED_BY.get(model, [""])[0]]}

    def clean_match(self) -> bool:
        match, by = self.cleaned_data["match"], MATCHED_BY.get(self.model, ("",))[0]
        if match is not None and (match != by or not by):
            said = f"{self.model.plural.capitalize()} can only be matched by {by}" if by else "Nothing to match them by"
            raise ValidationError(said, "match_unknown")
        return match is not None


class SyncView(ReceiptView):
    """One batch of one entity, all or nothing; `SYNC_VIEWS` has one for each level."""

    permission_classes = (MaySync,)
    checks_query = False  # its faults are told together with those of the body
    operation = Operation.SYNC

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if self.receipt:
            self.known(received=0)
            with suppress(ParseError):  # one that is refused later is no key for the receipt either
                self.known(idempotency_key=checked_key(request.headers.get("Idempotency-Key", "")))

    def new_query(self, data: QueryDict) -> Query:
        return SyncQuery(data, self.model)

    def post(self, request: Request) -> HttpResponse:
        with ExitStack() as alone:
            raw = read_json_body(request._request, limit=settings.MAX_BODY_BYTES, alone=alone)
            return self._answer(request, raw)

    def _answer(self, request: Request, raw: bytes) -> HttpResponse:
        body = split(self.model, raw)
        receipt = self.known(received=len(body.lines), company=current_scope().company)
        charge_rows(caller_of(request), receipt.received)
        prefer = preferences(request.headers.get("Prefer", ""))
        strict = prefer.get("handling") == "strict"
        faults = [*self.query.faults(), *(self.query.unknown() if strict else ()), *body.faults]
        given = self.query.cleaned_data
        options = Options(
            strict=strict,
            match=bool(given.get("match")),
            snapshot=self._snapshot(given.get("snapshot")),
            dry_run=bool(given.get("dry_run")),
            idempotency_key=receipt.idempotency_key,
        )
        claim = None if options.dry_run else self._claim(request, raw, options, partial(shown_as, prefer=prefer))
        try:
            done = submit(
                self.model,
                body.lines,
                origin=receipt.origin,
                options=options,
                claim=claim,
                faults=faults,
                names=body.names,
            )
        except Replayed as replayed:
            return replayed.answer
        return shown_as(done, prefer)

    def _snapshot(self, guid: uuid.UUID | None) -> Snapshot | None:
        """The one that the batch is part of. Raises 404, 410, and 422 if it is of another entity."""
        snapshot = open_one(guid) if guid else None
        if snapshot and snapshot.entity != self.model.plural:
            msg = f"The snapshot {guid} is of {snapshot.entity}"
            raise Unprocessable([Fault(("query", "snapshot"), msg, "snapshot_unfit")])
        return snapshot

    def _claim(
        self, request: Request, raw: bytes, options: Options, shown: Callable[[Run], HttpResponse]
    ) -> Claim | None:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return None
        caller = caller_of(request)
        meant = f"{options.match} {current_scope().company}"
        if options.snapshot:
            meant += f" {options.snapshot.guid}"
        fingerprint = hashlib.sha256(to_json([request.path_info, meant]) + raw).digest()
        return IdempotencyClaim(caller.guid, caller.company, key, fingerprint, shown)


def shown_as(run: Run, prefer: Mapping[str, str]) -> HttpResponse:
    """A run as it goes over the wire."""
    counts = run.counts
    body: dict[str, object] = {"inserted": counts["inserted"], "updated": counts["updated"]}
    if run.dry_run:
        body["dry_run"] = True
    if prefer.get("return") == "representation":
        body["items"] = [{"index": index, "guid": guid, "action": action.value} for index, guid, action in run.outcomes]
    headers = {"X-Sync-Run": str(run.origin.run)}
    if run.ignored:
        # Percent-encoded: a field's name may hold what a header may not.
        quoted = [quote(name, safe="") for name in run.ignored]
        sizes = accumulate(len(name) + 2 for name in quoted)
        whole = sum(size - 2 <= MAX_IGNORED_HEADER for size in sizes)
        headers["X-Ignored-Fields"] = ", ".join(quoted[:whole])
    if prefer:
        headers["Preference-Applied"] = ", ".join(f"{name}={value}" for name, value in prefer.items())
    return HttpResponse(to_json(body), content_type="application/json", headers=headers)


def preferences(header: str) -> dict[str, str]:
    """The preferences of a `Prefer` header that this API knows (RFC 7240); others are ignored."""
    known = {"return": ("representation", "minimal"), "handling": ("strict", "lenient")}
    found: dict[str, str] = {}
    for token in header.split(","):
        name, _, value = (part.strip().lower() for part in token.partition(";")[0].partition("="))
        value = value.strip('"')
        if value in known.get(name, ()):
            found.setdefault(name, value)
    return found


SYNC_VIEWS = [described(type(f"Sync{level.__name__}View", (SyncView,), {"model": level})) for level in LEVELS]
