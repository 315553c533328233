"""What the tests of history send and ask for."""

import time
import uuid
from datetime import datetime
from hashlib import blake2b
from typing import Any

from django.db import connection

from pieces.models import Piece
from pieces.tests.families import Family, path_of
from ractory.api.tests.client import Api

Entry = dict[str, Any]


def item(row: Any, **fields: Any) -> dict[str, Any]:
    """What a sync must send of the row, and these fields."""
    named = {name: getattr(row, name) for name in ("guid", *NEEDED[row.kind])} | fields
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in named.items()}


def send(client: Api, row: Any, **fields: Any) -> str:
    """Syncs the row with these fields; the guid of the run."""
    return send_all(client, row.plural, item(row, **fields))


def send_all(client: Api, plural: str, *items: dict[str, Any], **headers: str) -> str:
    response = client.post(f"/api/v1/sync/{plural}", {plural: items}, headers=headers)
    assert response.status_code == 200, response.content
    return str(response["X-Sync-Run"])


def unsaved(family: Family) -> Piece:
    """A piece that is yet to be sent."""
    above = {name: getattr(family.assembly, name) for name in ("company_guid", "project_guid", "component_guid")}
    return Piece(piece_id="new", assembly_guid=None, **above)


NEEDED: dict[str, tuple[str, ...]] = {
    "project": ("company_guid", "code"),
    "component": ("company_guid", "project_guid", "code"),
    "assembly": ("company_guid", "project_guid", "component_guid"),
    "piece": ("company_guid", "project_guid", "component_guid", "assembly_guid", "piece_id"),
}


def history(client: Api, row: Any, query: str = "") -> list[Entry]:
    response = client.get(f"{path_of(row)}/history{query}")
    assert response.status_code == 200, response.content
    entries: list[Entry] = response.json()
    return entries


def at(client: Api, row: Any, moment: Any, query: str = "") -> Any:
    return client.get(path_of(row), {"at": moment, **dict(pair.split("=") for pair in query.split("&") if pair)})


def by_hand(row: Any, **columns: Any) -> None:
    """A write by SQL, past the server."""
    time.sleep(0.002)  # SQLite's own clock has milliseconds
    sets = ", ".join(f"{name} = %s" for name in columns)
    sql = f"UPDATE {row._meta.db_table} SET {sets} WHERE guid = %s"  # noqa: S608  # the test's own names
    guid = row.guid if connection.vendor == "postgresql" else row.guid.hex
    with connection.cursor() as cursor:
        cursor.execute(sql, [*columns.values(), guid])
        assert cursor.rowcount == 1
    time.sleep(0.002)


def digest(picture: bytes) -> str:
    return blake2b(picture, digest_size=16).hexdigest()


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)
