"""Every invariant of the contract, counted over the whole database, each by one set-based query."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, UUIDField, Value
from django.db.models.functions import Coalesce

from pieces.content import content_of, digest_of, hashed
from pieces.models import HISTORIES, LEVELS, NO_ACT, Entity, Pictured, Piece
from pieces.triggers import missing_triggers

CHUNK = 1000  # rows read at a time to recompute their digests
# After the oldest state that is kept: a purge takes states in the order of their ids, which is that of time but for
# transactions at the same time and clocks that were set.
SURELY_KEPT = timedelta(days=1)
ACT = Coalesce("changed_in", Value(NO_ACT, output_field=UUIDField()))


def broken_invariants() -> dict[str, int]:
    """The name of each invariant, and the number of rows that break it."""
    return {name: count for name, (count, _) in broken_rows(0).items()}


def broken_rows(limit: int) -> dict[str, tuple[int, list[str]]]:
    """The name of each invariant, the number of rows that break it, and the guids of the first `limit` of them."""
    broken: dict[str, tuple[int, list[str]]] = {}
    for model in LEVELS:
        for name, rows in (_queries(model) | _broken_chains(model)).items():
            guids = rows.order_by("guid").values_list("guid", flat=True)[:limit]
            broken[name] = rows.count(), [str(guid) for guid in guids]
        # What was made otherwise than by sync has no digest until then.
        content, wrong = content_of(model), list[str]()
        names = ["guid", *content.names, "digest", *(["picture"] if issubclass(model, Pictured) else [])]
        stored: Any = model.across_companies.filter(digest__isnull=False).order_by().values(*names)
        for row in stored.iterator(chunk_size=CHUNK):
            of_picture = None if row.get("picture") is None else hashed(row["picture"])
            if row.get("picture_digest") != of_picture or digest_of(content, content.pick(row)) != row["digest"]:
                wrong.append(str(row["guid"]))
        broken[f"{model.kind}_digest"] = len(wrong), wrong[:limit]
    missing = sorted(missing_triggers(connection))
    broken["history_trigger_missing"] = len(missing), missing[:limit]
    return broken


def _broken_chains(model: type[Entity]) -> dict[str, "QuerySet[Any]"]:
    """Of each row's states (pieces.history): what no next one leads to, and what should have one before it."""
    rows, past = model.across_companies, HISTORIES[model].across_companies
    leads_to = {"guid": OuterRef("guid"), "act": OuterRef("replaced_in")}
    queries = {
        f"{model.kind}_history_unconnected": past.exclude(Exists(rows.annotate(act=ACT).filter(**leads_to))).exclude(
            Exists(past.annotate(act=ACT).filter(**leads_to, id__gt=OuterRef("id")))
        )
    }
    if (oldest := past.order_by("id").values_list("replaced_at", flat=True).first()) is not None:
        before = past.filter(guid=OuterRef("guid"), replaced_in=OuterRef("act"))
        for name, states in {"without_history": rows, "history_interrupted": past}.items():
            changed = states.exclude(changed_in=F("created_in")).exclude(updated_at=F("created_at"))
            late = changed.filter(updated_at__gt=oldest + SURELY_KEPT)
            queries[f"{model.kind}_{name}"] = late.annotate(act=ACT).exclude(Exists(before))
    return queries


def _queries(model: type[Entity]) -> dict[str, "QuerySet[Any]"]:
    kind, rows = model.kind.value, model.across_companies
    queries = {
        f"{kind}_active_or_deleted": rows.exclude(is_active=Q(deleted_at__isnull=True)),
        f"{kind}_active_with_deletion": rows.filter(is_active=True, deletion__isnull=False),
        f"{kind}_deleted_without_deletion": rows.filter(is_active=False, deletion=None),
        f"{kind}_deletion_of_other_company": _differing(model, "deletion", "company"),
    }
    if model is Piece:
        active = rows.filter(is_active=True)
        other = active.filter(project=OuterRef("project"), piece_id=OuterRef("piece_id")).exclude(guid=OuterRef("guid"))
        queries["piece_id_twice_in_project"] = active.filter(Exists(other))
    for level, parent in enumerate(model.parents):
        queries[f"{kind}_active_in_deleted_{parent}"] = rows.filter(is_active=True, **{f"{parent}__is_active": False})
        for shared in ("company", *model.parents[:level]):
            queries[f"{kind}_in_{parent}_of_other_{shared}"] = _differing(model, parent, shared)
    return queries


def _differing(model: type[Entity], relation: str, shared: str) -> "QuerySet[Any]":
    """The rows whose `relation` has another `shared` than they have themselves."""
    related: QuerySet[Any] = model.across_companies.filter(**{f"{relation}__isnull": False})
    return related.exclude(**{f"{relation}__{shared}_guid": F(f"{shared}_guid")})
