"""A made-up window factory: who works there, and orders of windows. The same names make the same orders, with the same
guids, so that sending them again changes nothing."""

import random
import uuid
from datetime import UTC, datetime, timedelta

from barcode.ean import EAN13
from django.contrib.auth.hashers import make_password
from django.core.management.base import CommandError
from django.db import models
from django.utils import timezone

from pieces.models import Piece
from sync.schemas import Item
from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User

Items = dict[str, list[Item]]  # by the plural of the level, parents first

NAMESPACE = uuid.UUID("5e1f0f5e-3d0a-4a53-9d43-7f1f6c0d2a10")
START = datetime(2026, 1, 12, 7, tzinfo=UTC)  # when the first order is due
CLIENTS = ("Bauer Homes", "Müller & Sons", "Nordic Housing AB", "Kowalski Development", "City of Linz")
COLOURS = ("White", "Anthracite grey", "Golden oak")
SIDES = ("bottom", "right", "top", "left")
FRAME: Item = {"profile_code": "K70-101", "profile_name": "Frame 70/66", "profile_type": "frame", "profile_height": 66}
SASH: Item = {"profile_code": "K70-205", "profile_name": "Sash 70/78", "profile_type": "sash", "profile_height": 78}
# What no order says in another way: each scalar field has a value.
PLAIN: Item = {
    field.attname: "standard" if isinstance(field, models.CharField) else 0
    for field in Piece.settable_fields()
    if isinstance(field, models.CharField | models.IntegerField)
}


def guid(*path: object) -> str:
    """The same guid for the same name, in every run."""
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, path))))


def sample_company(name: str, own: str) -> Company:
    """The made-up company of this guid, which is made if it is not there. CommandError if another one has its name."""
    if Company.objects.filter(name=name).exclude(guid=own).exists():
        raise CommandError(f"there is a company {name!r} already, and it is no sample")
    return Company.objects.get_or_create(guid=uuid.UUID(own), defaults={"name": name})[0]


def login(role: Role, password: str, company: Company, email: str) -> User:
    """The company's user of this address and role, who has this password from now on. CommandError if another company
    has a user of this address."""
    own = None if role == Role.SYSTEM_ADMIN else company
    if User.objects.filter(email=email).exclude(company=own, role=role).exists():
        raise CommandError(f"the address {email} is taken")
    secret = {"password": make_password(password)}
    return User.objects.update_or_create(secret, {**secret, "role": role, "company": own}, email=email)[0]


def fresh_key(company: Company, description: str) -> str:
    """The text of a new key, good for everything; earlier ones of this description are revoked."""
    company.api_keys.filter(description=description, revoked_at=None).update(revoked_at=timezone.now())
    return ApiKey.issue(company=company, scopes=KeyScope.values, description=description)[1]


def order(company: uuid.UUID, code: str, pieces: int, number: int = 0) -> Items:
    """A project of so many pieces: windows of a frame and a sash, four pieces each. `number` is the day it is due."""
    path = (company, code)
    pick = random.Random(guid(*path)).choice  # noqa: S311  # to be repeated, not to be secret
    client, colour = pick(CLIENTS), pick(COLOURS)
    due = (START + timedelta(days=number % 3650)).isoformat()
    project: Item = {"guid": guid(*path, "project"), "company_guid": str(company), "code": code, "due_date": due}
    items: Items = {"projects": [{**project, "company_name": client}], "components": [], "assemblies": [], "pieces": []}
    above: Item = {"company_guid": str(company), "project_guid": project["guid"]}
    of_order = {"client": client, "project_number": code, "profile_color": colour}
    for index in range(pieces):
        if index % 8 == 0:
            size = pick(range(600, 1801, 50)), pick(range(600, 2201, 50))
            window = {"guid": guid(*path, "component", index // 8), "code": f"W{index // 8 + 1:03}", **above}
            items["components"].append({**window, "designation": f"Window {size[0]} x {size[1]}"})
        if index % 4 == 0:
            trolley, cell = f"T{index // 160 + 1:02}", index // 4 % 40 + 1
            part = {"guid": guid(*path, "assembly", index // 4), "component_guid": window["guid"], **above}
            part |= {"trolley": trolley, "trolley_cell": f"{trolley}-{cell:02}", "cell_number": cell}
            items["assemblies"].append(part)
        piece = {"guid": guid(*path, "piece", index), "assembly_guid": part["guid"], "component_code": window["code"]}
        piece |= {"component_guid": window["guid"], **above, **of_order, **_cut(index, size)}
        serial = uuid.UUID(project["guid"]).int % 100_000
        piece |= {"piece_id": f"{window['code']}-{index:04}", "parent_assembly_trolley_cell": part["trolley_cell"]}
        piece |= {"barcode": EAN13(f"40{serial:05}{index % 100_000:05}").get_fullcode()}
        items["pieces"].append(PLAIN | piece)
    return items


def _cut(index: int, size: tuple[int, int]) -> Item:
    """How a piece is cut, and where it is put down: of a window of this width and height, in millimetres."""
    is_sash, side = index % 8 > 3, SIDES[index % 4]
    profile, length = (SASH, size[index % 2] - 80) if is_sash else (FRAME, size[index % 2])
    trolley, cell = f"P{index // 60 + 1:02}", f"{index % 60 + 1:02}"
    cut = {"outer_length": length, "inner_length": length - 2 * profile["profile_height"], "bar_length": 6500}
    cut |= {"angle_left": 45, "angle_right": 45, "assembly_width": size[0], "assembly_height": size[1]}
    where = {"trolley": trolley, "cell": cell, "trolley_cell": f"{trolley}-{cell}", "orientation": side}
    return {**profile, **cut, **where, "profile_width": 70, "operations": "cut 45;drain;weld"}
