"""A small factory for the browser: two companies, an order with its pieces, syncs that went well and that did not."""

import base64
import json
import struct
import uuid
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Component, Operation, Piece
from pieces.receipts import SyncRun, first_guid
from ractory.api.tests.client import Api
from sync.tests.batches import Sync
from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User
from tenants.scope import every_company

EMAIL, PASSWORD = "anna@huber.example", "a long enough password"
ROOT = "root@ractory.example"
COMPONENTS, PER_COMPONENT = 6, 24
PROFILES = (("76101", "Frame 76", "white"), ("76203", "Sash 76", "anthracite"), ("76311", "Mullion 82", "white"))


@dataclass(frozen=True, slots=True)
class Works:
    company: Company
    other: Company
    component: Component
    piece: Piece
    foreign: Piece
    sync: Sync

    def wrong_lengths(self, number: int) -> None:
        """A delivery that makes nonsense of so many pieces."""
        pieces = [piece | {"outer_length": 1} for piece in _batches(self.company, "", "40")["pieces"][:number]]
        answer = self.sync("pieces", *pieces)
        assert answer.status_code == 200, answer.content

    def item(self, number: int) -> dict[str, Any]:
        """A piece of the company's as it was sent first."""
        return _batches(self.company, "", "40")["pieces"][number]

    def delete_a_piece(self) -> None:
        """By a person, so that the trash is not empty."""
        with every_company():
            piece = Piece.objects.get(company=self.company, barcode="400000000007")
            delete_one(Piece, piece.guid, origin=Origin(Operation.DELETE, f"user:{EMAIL}"), now=timezone.now())

    def one_more(self) -> None:
        """A delivery of one piece that was not to be."""
        below = {"project_guid": guid(self.company, "project"), "company_guid": str(self.company.guid)}
        answer = self.sync("pieces", _piece(self.company, 300, "40") | below)
        assert answer.status_code == 200, answer.content


def build_works() -> Works:
    company, other = Company.objects.create(name="Fenster Huber"), Company.objects.create(name="Other Windows")
    users = {EMAIL: (Role.COMPANY_ADMIN, company), ROOT: (Role.SYSTEM_ADMIN, None)}
    for email, (role, of) in users.items():
        User.objects.create(email=email, role=role, company=of, password=make_password(PASSWORD))
    sync = _pushed(company, "Sommer house", "40")
    _pushed(other, "Secret order", "50")
    _earlier_runs(company)
    sync("pieces", *_faulty(company))
    with every_company():
        component = Component.objects.get(company=company, code="W01")
        piece = Piece.objects.get(company=company, barcode="400000000003")
        theirs = Piece.objects.get(company=other, barcode="500000000003")
    return Works(company, other, component, piece, theirs, sync)


def _pushed(company: Company, customer: str, prefix: str) -> Sync:
    _, key = ApiKey.issue(company=company, scopes=KeyScope.values, description="RaConnect")
    sync = Sync(Api().with_key(key))
    batches = _batches(company, customer, prefix)
    for plural, items in batches.items():
        answer = sync(plural, *items)
        assert answer.status_code == 200, answer.content
    changed = dict(batches["pieces"][3]) | {"outer_length": 1254}
    assert sync("pieces", changed).status_code == 200
    return sync


def _earlier_runs(company: Company) -> None:
    """Receipts of two weeks, for the charts."""
    actor = f"api_key:{company.api_keys.get().guid}"
    for days in range(1, 14):
        at = timezone.now() - timedelta(days=days)
        rows = 300 + 137 * days % 500
        good = {"received": rows, "inserted": rows // 3, "updated": rows - rows // 3, "unchanged": rows // 4}
        wrong = [
            {"loc": ["body", "pieces", n, "barcode"], "msg": "Field required", "type": "missing"}
            for n in range(days % 5)
        ]
        shared = {"company": company, "entity": "pieces", "started_at": at, "request_id": f"r{days}", "duration_ms": 41}
        for fields in (good | {"status": "succeeded", "http_status": 200}, _refusal(wrong) if wrong else None):
            if fields:
                guid = uuid.UUID(int=first_guid(at).int + len(fields))
                SyncRun.across_companies.create(guid=guid, actor=actor, **shared, **fields)


def _refusal(faults: list[dict[str, Any]]) -> dict[str, Any]:
    refusal = {"received": len(faults), "status": "rejected", "http_status": 422}
    return refusal | {"errors_json": json.dumps(faults), "fault_count": len(faults)}


def guid(company: Company, *path: object) -> str:
    return str(uuid.uuid5(company.guid, "/".join(map(str, path))))


def _batches(company: Company, customer: str, prefix: str) -> dict[str, list[dict[str, Any]]]:
    own = {"company_guid": str(company.guid)}
    below = own | {"project_guid": guid(company, "project")}
    project = {"guid": below["project_guid"], "code": "2026-0417", "company_name": customer}
    components = [
        {"guid": guid(company, "component", n), "code": f"W{n + 1:02}", "designation": "Window, two sashes"} | below
        for n in range(COMPONENTS)
    ]
    assemblies = [
        {"guid": guid(company, "assembly", n), "trolley": "T7", "trolley_cell": f"T7-{n + 1:02}", "cell_number": n + 1}
        | {"component_guid": guid(company, "component", n % COMPONENTS)}
        | below
        for n in range(2 * COMPONENTS)
    ]
    pieces = [_piece(company, n, prefix) | below for n in range(COMPONENTS * PER_COMPONENT)]
    due = {"due_date": "2026-12-04T00:00:00Z", "in_production": True}
    return {
        "projects": [project | own | due],
        "components": components,
        "assemblies": assemblies,
        "pieces": pieces,
    }


def _piece(company: Company, n: int, prefix: str) -> dict[str, Any]:
    assembly = n % (2 * COMPONENTS)
    code, name, colour = PROFILES[n % len(PROFILES)]
    piece = {
        "guid": guid(company, "piece", n),
        "component_guid": guid(company, "component", assembly % COMPONENTS),
        "assembly_guid": guid(company, "assembly", assembly),
        "piece_id": f"PCE-{n + 1:04}",
        "barcode": f"{prefix}{n:010}",
        "profile_code": code,
        "profile_name": name,
        "profile_color": colour,
        "outer_length": 1200 + 7 * n,
        "inner_length": 1080 + 7 * n,
        "angle_left": 45,
        "angle_right": 45 if n % 4 else 90,
        "trolley": "T3",
        "trolley_cell": f"T3-{n % 48 + 1:02}",
        "cell": str(n % 48 + 1),
        "bar_id": f"BAR-{n // 5 + 1:03}",
        "bar_length": 6500,
        "operations": "saw; mill water slot; weld",
        "client": "Sommer",
        "hardware_info": "Handle left, 4 locking points",
        "reinforcement_code": "R-2.0",
        "reinforcement_length": 1180 + 7 * n,
    }
    return piece | ({"picture": base64.b64encode(drawing(n)).decode()} if n < 4 else {})


def _faulty(company: Company) -> list[dict[str, Any]]:
    """A batch of which most is wrong, in the ways that happen."""
    pieces = [_piece(company, n, "40") | {"project_guid": guid(company, "project")} for n in range(200, 212)]
    pieces = [piece | {"company_guid": str(company.guid)} for piece in pieces]
    for piece in pieces[:6]:
        piece["outer_length"] = "12oo"
    pieces[7]["barcode"] = "4" * 300
    del pieces[9]["piece_id"]
    return pieces


def drawing(n: int, width: int = 240, height: int = 90) -> bytes:
    """A PNG of a cut profile: a bar with its two mitres."""
    rows = []
    for y in range(height):
        slope = int((height - y) * 0.8)
        line = bytes(_shade(x, y, slope, width, height, n) for x in range(width))
        rows.append(b"\0" + line)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _shade(x: int, y: int, slope: int, width: int, height: int, n: int) -> int:
    if y < 12 or y > height - 12 or not slope < x < width - slope:
        return 255
    edge = x - slope < 3 or width - slope - x < 3 or y < 15 or y > height - 15 or y == 40 + n
    return 60 if edge else 205
