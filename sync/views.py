"""The four sync endpoints, `POST /api/v1/sync/{projects,components,assemblies,pieces}`, and their receipts,
`GET /api/v1/sync/runs` (contract, "Sync")."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from typing import Any, ClassVar
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.exceptions import NotFound, ParseError, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from pieces.deletion import Actor
from pieces.models import LEVELS, Assembly, Component, Entity, Piece, Project
from ractory.api.body import read_json_body
from ractory.api.errors import Unprocessable, shown
from ractory.api.middleware import current_request_id
from ractory.api.paging import MAX_PAGE_BYTES, Key, PageQuery, fitting
from ractory.api.query import Flag, Guid, Moment, Query, Text
from ractory.api.rendering import to_json
from ractory.api.retry import in_transaction
from sync.engine import Outcome, synchronise
from sync.idempotency import Answer, Claim, checked_key, usable_key
from sync.models import RunStatus, SyncRun
from sync.openapi import RunSchema, RunsSchema, SyncSchema
from sync.planning import Action
from sync.receipts import Receipt
from sync.recognising import Recognised, recognise
from sync.schemas import Batch, Item, parse
from tenants.caller import Caller
from tenants.permissions import MayRead, MaySync
from tenants.scope import current_scope
from tenants.throttling import charge_rows
from tenants.views import TenantView, caller_of

WITHOUT_RECEIPT = (401, 403, 429)  # refusals that no limit bounds: their receipts would fill the table
MAX_IGNORED_HEADER = 4000  # characters


class SyncQuery(Query):
    """The options of a sync."""

    company_guid = Guid(required=False)  # acted on by tenants.views
    dry_run = Flag()
    match = Text()

    def __init__(self, data: Any, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model

    def clean_match(self) -> bool:
        match = self.cleaned_data["match"]
        if match is not None and (match != "piece_id" or self.model is not Piece):
            raise ValidationError("Only pieces can be matched, and by piece_id", "match_unknown")
        return match is not None


class SyncView(TenantView):
    """One batch of one entity, all or nothing; the subclasses name the model."""

    schema = SyncSchema()
    permission_classes = (MaySync,)
    model: ClassVar[type[Entity]]
    receipt: Receipt

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if isinstance(request.user, Caller) and request.method == "POST":
            key = usable_key(request.headers.get("Idempotency-Key"))
            self.receipt = Receipt(self.model, request.user, current_request_id.get(), idempotency_key=key)

    def company_named(self, request: Request) -> uuid.UUID | None:
        """One that is no UUID is told with the other faults of the query, after those of the body's form."""
        try:
            return super().company_named(request)
        except Unprocessable:
            return None

    def handle_exception(self, exc: Exception) -> Response:
        """A refusal has a receipt too, but one that anyone could get as often as they like."""
        response = super().handle_exception(exc)
        if hasattr(self, "receipt") and response.status_code not in WITHOUT_RECEIPT:
            detail, count = response.data["detail"], exc.total if isinstance(exc, Unprocessable) else 1
            if self.receipt.reject(response.status_code, detail, count):
                response.headers["X-Sync-Run"] = str(self.receipt.run.guid)
        return response

    def post(self, request: Request) -> HttpResponse:
        with ExitStack() as alone:
            raw = read_json_body(request._request, limit=settings.MAX_BODY_BYTES, alone=alone)
            return self._answered(request, raw)

    def _answered(self, request: Request, raw: bytes) -> HttpResponse:
        whole = Recognised({}, raw, ())
        known = recognise(self.model, raw) if current_scope().company else whole
        try:
            answer = self._synced(request, raw, known)
        except (ParseError, PermissionDenied, Unprocessable):
            if not known.unchanged:
                raise
            # To name every fault, and each at its place in the body.
            answer = self._synced(request, raw, whole, again=True)
        return HttpResponse(answer.body, content_type="application/json", headers=answer.headers)

    def _synced(self, request: Request, raw: bytes, known: Recognised, *, again: bool = False) -> Answer:
        prefer = preferences(request.headers.get("Prefer", ""))
        strict = prefer.get("handling") == "strict"
        query = SyncQuery(request.query_params, self.model)
        faults = [*query.faults(), *(query.unknown() if strict else ())]
        batch = parse(self.model, known.rest, strict=strict, faults=faults)
        self.receipt.take(batch, unchanged=len(known.unchanged))
        if not again:
            charge_rows(caller_of(request), self.receipt.run.received)
        self._refuse_foreign_companies(batch.checked())
        options = query.checked()
        claim = None if options["dry_run"] else self._claim(request, raw, match=options["match"])
        return in_transaction(lambda: self._answer(batch, known, options, prefer, claim))

    def _refuse_foreign_companies(self, items: Sequence[Item]) -> None:
        scope = current_scope()
        for index, item in enumerate(items):
            if not scope.covers(item["company_guid"]):
                raise PermissionDenied(f"{self.model.plural}[{index}]: company {item['company_guid']} is not yours.")

    def _claim(self, request: Request, raw: bytes, *, match: bool) -> Claim | None:
        key = checked_key(request.headers.get("Idempotency-Key"))
        if key is None:
            return None
        options = f"{match} {current_scope().company}"
        caller = caller_of(request)
        return Claim(caller.guid, caller.company, key, Claim.fingerprint_of(request.path_info, options, raw))

    def _answer(
        self,
        batch: Batch,
        known: Recognised,
        options: Mapping[str, Any],
        prefer: Mapping[str, str],
        claim: Claim | None,
    ) -> Answer:
        """Within a transaction: the kept answer of the first request, or this one's work, receipt and answer."""
        now, run = timezone.now(), self.receipt.run
        if claim and (kept := claim.kept_answer(now)):
            return kept
        outcome = synchronise(
            self.model,
            batch.items,
            actor=Actor(run.actor, run.request_id, run.guid),
            sent=known.sent if not batch.ignored else (),
            match_piece_id=options["match"],
            dry_run=options["dry_run"],
        )
        outcome = known.with_rest(outcome)
        self.receipt.succeed(batch, outcome, dry_run=options["dry_run"])
        with_items = prefer.get("return") == "representation"
        body = _body(outcome, dry_run=options["dry_run"], with_items=with_items)
        answer = Answer(to_json(body), _headers(batch, prefer) | {"X-Sync-Run": str(run.guid)})
        if claim:
            claim.keep(answer, company=run.company_guid, now=now)
        return answer


def _body(outcome: Outcome, *, dry_run: bool, with_items: bool) -> dict[str, object]:
    inserted = outcome.counts[Action.INSERTED]
    body: dict[str, object] = {"inserted": inserted, "updated": outcome.counts.total() - inserted}
    if dry_run:
        body["dry_run"] = True
    if with_items:
        pairs = zip(outcome.guids, outcome.actions, strict=True)
        body["items"] = [
            {"index": index, "guid": guid, "action": action.value} for index, (guid, action) in enumerate(pairs)
        ]
    return body


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


def _headers(batch: Batch, prefer: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    if batch.ignored:
        # Percent-encoded: a field's name may hold what a header may not.
        quoted = [quote(name, safe="") for name in batch.ignored]
        sizes = accumulate(len(name) + 2 for name in quoted)
        whole = sum(size - 2 <= MAX_IGNORED_HEADER for size in sizes)
        headers["X-Ignored-Fields"] = ", ".join(quoted[:whole])
    if prefer:
        headers["Preference-Applied"] = ", ".join(f"{name}={value}" for name, value in prefer.items())
    return headers


class SyncProjectsView(SyncView):
    model = Project


class SyncComponentsView(SyncView):
    model = Component


class SyncAssembliesView(SyncView):
    model = Assembly


class SyncPiecesView(SyncView):
    model = Piece


class Choice(Text):
    """One of a few words; None when absent."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__()
        self.choices = choices

    def to_python(self, value: str | None) -> str | None:
        if value is not None and value not in self.choices:
            raise ValidationError(f"Input should be one of {', '.join(self.choices)}", "choice_unknown")
        return value


class RunsQuery(PageQuery):
    """What the list of receipts can be asked for; newest first, always."""

    entity = Choice([model.plural for model in LEVELS])
    status = Choice(RunStatus.values)
    idempotency_key = Text()
    request_id = Text()
    since = Moment(required=False)

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["ordering"] = (Key("guid", SyncRun._meta.get_field("guid"), descending=True),)
        return super().clean()


class RunsView(TenantView):
    """The receipts of the company, newest first; a page ends where it would be too large."""

    schema = RunsSchema()
    permission_classes = (MayRead,)
    query_class = RunsQuery

    def check_query(self, request: Request) -> None:
        self.query = self.query_class(request.query_params)
        self.query.checked()

    def get(self, request: Request) -> Response:
        given, page = self.query.cleaned_data, self.query.page()
        exact = {name: given[name] for name in ("entity", "status", "idempotency_key", "request_id") if given[name]}
        since = {"started_at__gte": given["since"]} if given["since"] else {}
        rows = SyncRun.objects.filter(**exact, **since)
        wanted = page.of(rows)
        sizes = list(wanted.values_list(SyncRun.BYTES, flat=True))
        shown_runs = fitting(sizes[: page.limit], most=MAX_PAGE_BYTES)
        found = list(wanted[:shown_runs])
        headers = {"X-Total-Count": str(rows.count())} if page.count else {}
        if len(sizes) > shown_runs:
            headers["Link"] = page.next_link(request._request, [found[-1].guid])
        return Response([run.as_wire() for run in found], headers=headers)


class RunView(TenantView):
    """The receipt of one request, also for a client that lost the answer."""

    schema = RunSchema()
    permission_classes = (MayRead,)

    def get(self, request: Request, guid: str) -> Response:
        try:
            run = SyncRun.objects.filter(guid=uuid.UUID(guid)).first()
        except ValueError:
            run = None
        if run is None:
            raise NotFound(f"There is no sync run {shown(guid)}.")
        return Response(run.as_wire())
