"""Orders of a made-up window factory, with plausible values in every field.

The same names make the same orders, with the same guids, so that sending them again changes nothing.
"""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from barcode.ean import EAN13

from sync.schemas import Item

NAMESPACE = uuid.UUID("5e1f0f5e-3d0a-4a53-9d43-7f1f6c0d2a10")
START = datetime(2026, 1, 12, 7, tzinfo=UTC)  # when the first order is due
BAR, SAW_CUT, WELDING = 6500, 4, 3  # millimetres: a bar's length, what a cut takes, what a welded end takes

Size = tuple[int, int]  # width and height in millimetres


def guid(*path: object) -> str:
    """The same guid for the same name, in every run."""
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, path))))


class Profile(NamedTuple):
    """What a piece is made of, by the names of its fields."""

    profile_code: str
    profile_name: str
    profile_type: str
    profile_type_ra: str
    profile_width: int
    profile_height: int
    reinforcement_code: str


FRAME = Profile("K70-101", "Frame 70/66", "frame", "F", 70, 66, "R-1501")
SASH = Profile("K70-205", "Sash 70/78", "sash", "S", 70, 78, "R-1602")
MULLION = Profile("K70-311", "Mullion 70/82", "mullion", "M", 70, 82, "R-1703")
BEAD = Profile("K70-402", "Glazing bead 24", "bead", "B", 24, 20, "none")
COLOURS = (("9016", "White", "none"), ("7016", "Anthracite grey", "one side"), ("8003", "Golden oak", "both sides"))
UNITS = (("Fixed window", 0), ("Tilt and turn window", 1), ("Double casement window", 2), ("Balcony door", 1))
CLIENTS = ("Bauer Homes", "Müller & Sons", "Nordic Housing AB", "Kowalski Development", "City of Linz")
DEALERS = ("Window Centre North", "Glass & Frame", "Alpenfenster", "Okna Plus")
GLASS = ("4-16-4 Ug 1.1", "4-14-4-14-4 Ug 0.6", "44.2-16-4 Ug 1.0")
PHASES = ("measured", "released", "cutting", "assembly")


class Order:
    """A project of `pieces` pieces, with the components and assemblies that those make.

    `items` has what a sync takes, by the plural of the level, parents first. `path` begins the names that its guids and
    its values are made from: equal ones make equal orders. Each `number` is due a day after the one before.
    """

    def __init__(
        self, company: uuid.UUID, code: str, pieces: int, path: tuple[object, ...] = (), number: int = 0
    ) -> None:
        self.code, self.pieces, self.path, self.number = code, pieces, path, number
        self._random = random.Random(guid(*path, "values"))  # noqa: S311  # to be repeated, not to be secret
        pick = self._random.choice
        self.client, self.dealer, self.phase = pick(CLIENTS), pick(DEALERS), pick(PHASES)
        self.colour, self.glass = pick(COLOURS), pick(GLASS)
        own = uuid.UUID(guid(*path, "project"))
        self.serial = own.int % 100_000
        self.above: Item = {"company_guid": str(company), "project_guid": str(own)}
        project: Item = {"guid": str(own), "company_guid": str(company), "code": code, "company_name": self.client}
        due = (START + timedelta(days=number % 3650)).isoformat()
        project |= {"due_date": due, "in_production": self.phase in PHASES[2:]}
        self.items: dict[str, list[Item]] = {"projects": [project], "components": [], "assemblies": [], "pieces": []}
        while len(self.items["pieces"]) < pieces:
            self._unit()

    def _unit(self) -> None:
        """A window: a frame, and in it the sashes, each with its glazing beads."""
        number = len(self.items["components"]) + 1
        kind, sashes = self._random.choice(UNITS)
        size = self._random.randrange(600, 1801, 50), self._random.randrange(600, 2201, 50)
        unit = {"guid": guid(*self.path, "component", number - 1), "code": f"W{number:03}", "quantity": 1}
        unit |= {"designation": f"{kind} {size[0]} x {size[1]}", **self.above}
        self.items["components"].append(unit)
        self._assembly(unit, size, FRAME, mullion=sashes > 1)
        for _ in range(sashes):
            self._assembly(unit, (size[0] // sashes - 80, size[1] - 80), SASH)

    def _assembly(self, unit: Item, size: Size, profile: Profile, *, mullion: bool = False) -> None:
        number = len(self.items["assemblies"])
        trolley, cell = f"T{number // 40 + 1:02}", number % 40 + 1
        part = {"guid": guid(*self.path, "assembly", number), "component_guid": unit["guid"], **self.above}
        part |= {"trolley": trolley, "trolley_cell": f"{trolley}-{cell:02}", "cell_number": cell}
        self.items["assemblies"].append(part)
        sides = (("bottom", size[0]), ("right", size[1]), ("top", size[0]), ("left", size[1]))
        for orientation, length in sides:
            self._piece(unit, part, size, profile, orientation, length)
        if mullion:
            self._piece(unit, part, size, MULLION, "vertical", size[1] - 2 * FRAME.profile_height)
        if profile is SASH or not mullion:
            for orientation, length in sides:
                self._piece(unit, part, size, BEAD, orientation, length - 2 * profile.profile_height)

    def _piece(self, unit: Item, part: Item, size: Size, profile: Profile, orientation: str, length: int) -> None:
        number = len(self.items["pieces"])
        if number == self.pieces:
            return
        welded = profile in (FRAME, SASH)
        outer = length + 2 * WELDING if welded else length
        colour, colour_name, sides = self.colour
        trolley, cell = f"P{number // 60 + 1:02}", f"{number % 60 + 1:02}"
        angle = 90 if profile is MULLION else 45
        piece = {**self.above, "component_guid": unit["guid"], "assembly_guid": part["guid"]}
        piece |= {"guid": guid(*self.path, "piece", number), "piece_id": f"{unit['code']}-{number:04}"}
        piece |= {"barcode": EAN13(f"40{self.serial:05}{number % 100_000:05}").get_fullcode()}
        piece |= {"orientation": orientation, "segment_order": str(number % 4 + 1)}
        # What it is for.
        piece |= {"client": self.client, "dealer": self.dealer, "project_phase": self.phase}
        piece |= {"info2": f"{orientation} of {part['trolley_cell']}", "info3": self.phase}
        piece |= {"project_description": f"{self.client}, building {self.number % 9 + 1}", "project_number": self.code}
        piece |= {"project_code_parent": self.code.rpartition("-")[0] or self.code, "component_code": unit["code"]}
        piece |= {"component_number": unit["code"][1:], "component_description": unit["designation"]}
        piece |= {"assembly_width": size[0], "assembly_height": size[1], "glass_info": self.glass}
        piece |= {"hardware_info": "tilt and turn, left" if profile is SASH else "none"}
        # Where it is put down.
        piece |= {"trolley": trolley, "cell": cell, "trolley_cell": f"{trolley}-{cell}", "trolley_size": "60"}
        piece |= {"parent_assembly_trolley_cell": part["trolley_cell"]}
        piece |= {"mullion_trolley_cell": part["trolley_cell"] if profile is MULLION else "none"}
        piece |= {"glazing_bead_trolley_cell": part["trolley_cell"] if profile is BEAD else "none"}
        # What it is made of.
        piece |= {**profile._asdict(), "profile_code_with_color": f"{profile.profile_code}.{colour}"}
        piece |= {"material_type": "PVC", "profile_color": colour_name, "lamination": sides}
        piece |= {"gasket": "black" if colour != "9016" else "grey"}
        # How it is cut and fixed.
        piece |= {"bar_id": f"B{self.serial:05}-{number // 5 + 1:04}", "bar_length": BAR, "other_length": 0}
        piece |= {"bar_rest": BAR - outer - SAW_CUT, "bar_cutting_tolerance": SAW_CUT, "outer_length": outer}
        piece |= {"inner_length": length - 2 * profile.profile_height if angle == 45 else length}
        piece |= {"angle_left": angle, "angle_right": angle, "cutting_pattern": f"{angle}/{angle}"}
        piece |= {"reinforcement_length": 0 if profile is BEAD else max(length - 2 * profile.profile_height - 20, 0)}
        piece |= {"operations": "cut 45;drain;weld" if welded else "cut 45" if profile is BEAD else "cut 90;mill;screw"}
        piece |= {"fixing_mode": "welded" if welded else "screwed" if profile is MULLION else "clipped"}
        piece |= {"welding_tolerance": WELDING if welded else 0}
        piece |= {"water_handle": "drain" if orientation == "bottom" else "none"}
        self.items["pieces"].append(piece)
