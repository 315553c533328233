"""The four sync endpoints: `POST /api/v1/sync/{projects,components,assemblies,pieces}` (contract, "Sync")."""

from typing import ClassVar
from urllib.parse import quote

from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from pieces.deletion import Actor
from pieces.models import Assembly, Component, Entity, Piece, Project
from ractory.api.body import read_json_body
from ractory.api.errors import Fault, shown
from ractory.api.middleware import current_request_id
from sync.engine import Outcome, synchronise
from sync.planning import Action
from sync.schemas import Batch, parse
from tenants.permissions import MaySync
from tenants.scope import current_scope
from tenants.views import TenantView, caller_of

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
MAX_IGNORED_HEADER = 4000  # characters


class SyncView(TenantView):
    """One batch of one entity, all or nothing; the subclasses name the model."""

    permission_classes = (MaySync,)
    model: ClassVar[type[Entity]]

    def post(self, request: Request) -> Response:
        raw = read_json_body(request._request, limit=settings.MAX_BODY_BYTES)
        prefer = preferences(request.headers.get("Prefer", ""))
        faults: list[Fault] = []
        dry_run = self._flag(request, "dry_run", faults)
        match = self._match(request, faults)
        batch = parse(self.model, raw, strict=prefer.get("handling") == "strict", faults=faults)
        self._refuse_foreign_companies(batch)
        outcome = synchronise(
            self.model,
            batch.items,
            actor=Actor(caller_of(request).actor, current_request_id.get()),
            now=timezone.now(),
            match_piece_id=match,
            dry_run=dry_run,
        )
        body = self._body(outcome, dry_run=dry_run, with_items=prefer.get("return") == "representation")
        return Response(body, headers=_headers(batch, prefer))

    def _flag(self, request: Request, name: str, faults: list[Fault]) -> bool:
        text = request.query_params.get(name, "false")
        if text.lower() not in BOOLEANS:
            faults.append(Fault(("query", name), f"Input should be true or false, got {shown(text)}", "bool_parsing"))
        return BOOLEANS.get(text.lower(), False)

    def _match(self, request: Request, faults: list[Fault]) -> bool:
        text = request.query_params.get("match")
        if text is not None and (text != "piece_id" or self.model is not Piece):
            msg = f"Only pieces can be matched, and by piece_id, got {shown(text)}"
            faults.append(Fault(("query", "match"), msg, "match_unknown"))
        return text == "piece_id"

    def _refuse_foreign_companies(self, batch: Batch) -> None:
        scope = current_scope()
        for index, item in enumerate(batch.items):
            if not scope.covers(item["company_guid"]):
                raise PermissionDenied(f"{self.model.plural}[{index}]: company {item['company_guid']} is not yours.")

    @staticmethod
    def _body(outcome: Outcome, *, dry_run: bool, with_items: bool) -> dict[str, object]:
        inserted = outcome.counts[Action.INSERTED]
        body: dict[str, object] = {"inserted": inserted, "updated": len(outcome.actions) - inserted}
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


def _headers(batch: Batch, prefer: dict[str, str]) -> dict[str, str]:
    headers = {}
    if batch.ignored:
        # Percent-encoded: a field's name may hold what a header may not.
        headers["X-Ignored-Fields"] = ", ".join(quote(name, safe="") for name in batch.ignored)[:MAX_IGNORED_HEADER]
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
