"""What the main job is measured against: the floor, and what Django and DRF have to offer.

Each writes the pieces of a request's body to the table `pieces_piece` and commits. The floor decodes the types,
copies the rows to a temporary table and upserts them by one statement: no check of a parent, a company, a guid or
a piece_id, no digest, no receipt, no HTTP.
"""

import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from django.db import models, transaction
from rest_framework import serializers

from pieces.models import Piece

COLUMNS = tuple(field.attname for field in Piece._meta.concrete_fields)


def _struct() -> Any:
    """The pieces of a body as msgspec sees them: every field of the model with its type."""
    fields: list[Any] = []
    for field in Piece.settable_fields():
        base: Any = str
        if isinstance(field, models.ForeignKey | models.UUIDField):
            base = uuid.UUID
        elif isinstance(field, models.IntegerField):
            base = int
        elif isinstance(field, models.BooleanField):
            base = bool
        fields.append((field.attname, base | None, None))
    piece = msgspec.defstruct("DecodedPiece", fields)
    return msgspec.defstruct("Body", [("pieces", list[piece])])  # type: ignore[valid-type]  # a type made at run time


DECODER: Any = msgspec.json.Decoder(_struct())


def decoded(body: bytes) -> list[tuple[Any, ...]]:
    """The body as rows of `COLUMNS`."""
    now = datetime.now(UTC)
    fixed = {"is_active": True, "created_at": now, "updated_at": now}
    names = [(name, fixed.get(name)) for name in COLUMNS]
    return [
        tuple([fixed_value or getattr(piece, name, None) for name, fixed_value in names])
        for piece in DECODER.decode(body).pieces
    ]


class PostgresFloor:
    """Typed decode, binary COPY into a temporary table, one upsert, commit."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, options="-c ractory.company=*")
        names = ", ".join(COLUMNS)
        sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS if name not in ("guid", "created_at"))
        self.create = f"CREATE TEMP TABLE floor ON COMMIT DROP AS SELECT {names} FROM pieces_piece WITH NO DATA"
        self.upsert = (
            f"INSERT INTO pieces_piece ({names}) SELECT {names} FROM floor ORDER BY guid "
            f"ON CONFLICT (company_guid, guid) DO UPDATE SET {sets}"
        )
        self.types = [_type(field) for field in Piece._meta.concrete_fields]

    def __call__(self, body: bytes) -> None:
        rows = decoded(body)
        with self.connection.cursor() as cursor:
            cursor.execute(self.create)
            with cursor.copy("COPY floor FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(self.types)
                for row in rows:
                    copy.write_row(row)
            cursor.execute(self.upsert)
        self.connection.commit()


def _type(field: Any) -> str:
    from django.db import connection

    return (field.db_type(connection) or "").partition("(")[0]


class SqliteFloor:
    """Typed decode, one bare `executemany` of an upsert, commit."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, timeout=30)
        self.connection.execute("PRAGMA journal_mode=WAL")
        marks = ", ".join("?" * len(COLUMNS))
        sets = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in ("guid", "created_at"))
        self.upsert = (
            f"INSERT INTO pieces_piece ({', '.join(COLUMNS)}) VALUES ({marks}) "
            f"ON CONFLICT (company_guid, guid) DO UPDATE SET {sets}"
        )

    def __call__(self, body: bytes) -> None:
        self.connection.executemany(self.upsert, [tuple(map(_plain, row)) for row in decoded(body)])
        self.connection.commit()


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return value.hex
    return value.isoformat(" ") if isinstance(value, datetime) else value


class PieceSerializer(serializers.ModelSerializer[Piece]):
    class Meta:
        model = Piece
        exclude = ("digest", "picture_digest", "created_in", "changed_in", "picture", "deletion")
        validators = ()  # with many=True it would take every known piece_id for another row's


def usual_stack(body: bytes) -> None:
    """DRF's serializer with `many=True`, then Django's own `bulk_update` of every column."""
    with transaction.atomic():
        items = msgspec.json.decode(body)["pieces"]
        for item in items:
            item |= {name: item.pop(f"{name}_guid") for name in ("company", "project", "component", "assembly")}
        known = {piece.guid: piece for piece in Piece.objects.filter(guid__in=[item["guid"] for item in items])}
        serializer = PieceSerializer(data=items, many=True)
        serializer.is_valid(raise_exception=True)
        names = [field.name for field in Piece.settable_fields() if field.name not in ("guid", "picture", "is_active")]
        pieces = []
        for item, valid in zip(items, serializer.validated_data, strict=True):
            piece = known[uuid.UUID(item["guid"])]
            for name, value in valid.items():
                setattr(piece, name, value)
            pieces.append(piece)
        models.QuerySet(Piece).bulk_update(pieces, names)


def django_upsert(body: bytes) -> None:
    """The same rows by Django's own `bulk_create(update_conflicts=True)`, without a serializer."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in decoded(body)]
    update = [field.name for field in Piece._meta.concrete_fields if field.name not in ("guid", "created_at")]
    with transaction.atomic():
        pieces: Any = [Piece(**row) for row in rows]
        models.QuerySet(Piece).bulk_create(
            pieces, update_conflicts=True, unique_fields=["company", "guid"], update_fields=update
        )
