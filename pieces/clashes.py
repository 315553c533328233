"""Pieces that can't become active, because others of their project have their piece_ids by now."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, Subquery, Window
from django.db.models.functions import FirstValue

from pieces.models import Kind, Piece
from pieces.querysets import EntityQuerySet
from ractory.api.errors import Mentions

Guid = uuid.UUID
MAX_CLASHES = 100
KEY = ("project_guid", "piece_id")


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


def holders() -> EntityQuerySet:
    """For a subquery: the active piece that has the piece_id of a piece in its project."""
    found: EntityQuerySet = Piece.objects.filter(**{name: OuterRef(name) for name in KEY})
    return found


def clashes_among(rows: EntityQuerySet) -> list[Clash]:
    """Which of these inactive pieces would, once active, share a piece_id with another of their project."""
    held = rows.filter(Exists(holders())).annotate(holder=Subquery(holders().values("guid")[:1]))
    first = Window(FirstValue("guid"), partition_by=list(KEY), order_by="guid")
    twins = rows.annotate(holder=first).exclude(holder=F("guid"))
    columns = ("guid", "piece_id", "holder", *Piece.parent_columns())
    return [
        Clash(guid, piece_id, holder, dict(zip(Piece.parents, parents, strict=True)))
        for some in (held, twins)
        for guid, piece_id, holder, *parents in some.order_by("guid").values_list(*columns)[:MAX_CLASHES]
    ]
