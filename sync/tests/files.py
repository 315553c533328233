"""Files for the tests of import and export, and what is in the tables after them."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from django.db import models

from pieces.models import HISTORIES, LEVELS, Component, Deletion, Piece
from sync.tests.batches import Item
from tenants.scope import every_company


def small_piece(component: Component, number: int, **fields: Any) -> Item:
    """A piece as a file has it: without its company, and without a guid, so that each import makes a new one."""
    above = {"project_guid": str(component.project_guid), "component_guid": str(component.guid)}
    return {"piece_id": f"{number}", **above, **fields}


def ndjson(rows: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def pieces_file(path: Path, component: Component, count: int) -> Path:
    """NDJSON of that many small pieces."""
    path.write_bytes(ndjson(small_piece(component, number) for number in range(count)))
    return path


def piece_ids() -> list[str]:
    """Of all pieces, active or not, in their order as numbers."""
    with every_company():
        return sorted(Piece.all_objects.values_list("piece_id", flat=True), key=lambda text: (len(text), text))


def faulty_lines(path: Path) -> list[dict[str, Any]]:
    """What `--errors` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def empty_tables() -> None:
    """As in a fresh database: no row of the four levels is left."""
    with every_company():
        for model in reversed(LEVELS):
            models.QuerySet.delete(model.all_objects.all())
            HISTORIES[model].objects.all().delete()
        Deletion.objects.all().delete()
