"""The four sync endpoints, `POST /api/v1/sync/{projects,components,assemblies,pieces}` (contract, "Sync")."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import cast
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from rest_framework.request import Request

from pieces.models import Assembly, Component, Entity, Operation, Piece, Project
from pieces.receipts import Receipt
from pieces.views import ReceiptView
from ractory.api.body import read_json_body
from ractory.api.query import Flag, Query, Text
from ractory.api.rendering import to_json
from sync.idempotency import IdempotencyClaim, KeptAnswer, Replayed, usable_key
from sync.openapi import described
from sync.schemas import split
from sync.submission import Options, Run, submit
from tenants.permissions import MaySync
from tenants.scope import current_scope
from tenants.throttling import charge_rows
from tenants.views import caller_of

MAX_IGNORED_HEADER = 4000  # characters


class SyncQuery(Query):
    """The options of a sync."""

    dry_run = Flag(help_text="The full answer, and nothing is written.")
    match = Text(help_text="Items without a `guid` update the active piece of their project with their `piece_id`.")

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model
        self.fields["match"].schema = {"type": "string", "enum": ["piece_id"]}

    def clean_match(self) -> bool:
        match = self.cleaned_data["match"]
        if match is not None and (match != "piece_id" or self.model is not Piece):
            raise ValidationError("Only pieces can be matched, and by piece_id", "match_unknown")
        return match is not None


class SyncView(ReceiptView):
    """One batch of one entity, all or nothing; the subclasses name the model."""

    permission_classes = (MaySync,)

    def operation_of(self, request: Request) -> Operation | None:
        return Operation.SYNC if request.method == "POST" else None

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if self.receipt:
            key = usable_key(request.headers.get("Idempotency-Key"))
            self.receipt = replace(self.receipt, received=0, idempotency_key=key)

    def new_query(self, data: QueryDict) -> Query:
        return SyncQuery(data, self.model)

    def check_query(self) -> None:
        """Its faults are told together with those of the body."""

    def post(self, request: Request) -> HttpResponse:
        with ExitStack() as alone:
            raw = read_json_body(request._request, limit=settings.MAX_BODY_BYTES, alone=alone)
            answer = self._answer(request, raw)
        return HttpResponse(answer.body, content_type="application/json", headers=answer.headers)

    def _answer(self, request: Request, raw: bytes) -> KeptAnswer:
        body = split(self.model, raw)
        receipt = replace(cast(Receipt, self.receipt), received=len(body.lines), company=current_scope().company)
        self.receipt = receipt
        charge_rows(caller_of(request), receipt.received)
        prefer = preferences(request.headers.get("Prefer", ""))
        strict = prefer.get("handling") == "strict"
        faults = [*self.query.faults(), *(self.query.unknown() if strict else ()), *body.faults]
        given = self.query.cleaned_data
        options = Options(
            strict=strict,
            match=bool(given.get("match")),
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

    def _claim(
        self, request: Request, raw: bytes, options: Options, shown: Callable[[Run], KeptAnswer]
    ) -> IdempotencyClaim | None:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return None
        caller = caller_of(request)
        meant = f"{options.match} {current_scope().company}"
        fingerprint = IdempotencyClaim.fingerprint_of(request.path_info, meant, raw)
        return IdempotencyClaim(caller.guid, caller.company, key, fingerprint, shown)


def shown_as(run: Run, prefer: Mapping[str, str]) -> KeptAnswer:
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
    return KeptAnswer(to_json(body), headers)


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


@described
class SyncProjectsView(SyncView):
    model = Project


@described
class SyncComponentsView(SyncView):
    model = Component


@described
class SyncAssembliesView(SyncView):
    model = Assembly


@described
class SyncPiecesView(SyncView):
    model = Piece
