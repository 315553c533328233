"""Pieces that can't become active, because others of their project have their piece_ids by now."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Subquery

from pieces.models import Kind, Piece
from pieces.querysets import EntityQuerySet
from ractory.api.errors import Mentions

Guid = uuid.UUID
MAX_CLASHES = 100


@dataclass(frozen=True, slots=True)
class Clash:
    """A piece that can't become active because another active piece of its project has its piece_id."""

    guid: Guid
    piece_id: str
    holder: Guid
    parents: Mapping[str, Guid]  # by kind

    def __str__(self) -> str:
        return f"piece_id {self.piece_id!r} of piece {self.guid} is taken by piece {self.holder}"

    @property
    def mentions(self) -> Mentions:
        return {self.guid: Kind.PIECE, self.holder: Kind.PIECE}


def clashes_among(rows: EntityQuerySet) -> list[Clash]:
    """Which of these inactive pieces would, once active, share a piece_id with another of their project."""
    key = ("project_guid", "piece_id")
    holders = Piece.objects.filter(**{name: OuterRef(name) for name in key})
    found: list[Any] = list(
        rows.filter(Exists(holders))
        .annotate(holder=Subquery(holders.values("guid")[:1]))
        .order_by("guid")[:MAX_CLASHES]
    )
    twins = rows.order_by().values(*key).annotate(pieces=Count("guid")).filter(pieces__gt=1)
    first: dict[tuple[Any, ...], Guid] = {}
    piece_ids = [twin["piece_id"] for twin in twins[:MAX_CLASHES]]
    for piece in rows.filter(piece_id__any_of=piece_ids).order_by("guid") if piece_ids else ():
        holder = first.setdefault((piece.project_guid, piece.piece_id), piece.guid)
        if holder != piece.guid:
            piece.holder = holder
            found.append(piece)
    return [
        Clash(piece.guid, piece.piece_id, piece.holder, {kind: getattr(piece, kind.column) for kind in Piece.parents})
        for piece in found
    ]
