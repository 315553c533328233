"""A file with fifty mistakes, each in a column or of a kind of its own, and what has to be said of each."""

import base64
import csv
import io
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from openpyxl import Workbook

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Component, Operation
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from tenants.models import Company
from tenants.tests.factories import CompanyFactory

NOBODY = "00000000-0000-4000-8000-000000000005"
# Fields of whole numbers, and what can be found in such columns: none of it is one.
NO_NUMBERS = {
    **{"outer_length": "12oo", "inner_length": "1200.5", "angle_left": "45°", "angle_right": "-"},
    **{"assembly_width": "1 200", "assembly_height": "1200mm", "reinforcement_length": "N/A", "other_length": "½"},
    **{"bar_rest": "0x10", "bar_length": "zwölf", "bar_cutting_tolerance": "1e3", "profile_width": "2026-05-01"},
    **{"profile_height": "yes", "welding_tolerance": "?"},
}
LONG = ("barcode", "orientation", "trolley", "cell", "client", "dealer", "profile_code", "profile_name", "lamination")
VERY_LONG = ("operations", "info2", "info3", "project_description", "hardware_info", "glass_info")


@dataclass(frozen=True)
class Mistake:
    cells: dict[str, Any]  # in place of those of a good row
    column: str
    value: str
    said: str  # what the message begins with


def mistakes_of(component: Component) -> list[Mistake]:
    """Fifty of them, with the rows that some need."""
    company: Company = component.company
    elsewhere = PieceFactory.create(company=CompanyFactory.create())
    deleted = ComponentFactory.create(project=component.project)
    delete_one(Component, deleted.guid, origin=Origin(Operation.DELETE, "test"))
    other = ComponentFactory.create(project=ProjectFactory.create(company=company))
    assembly = AssemblyFactory.create(component=ComponentFactory.create(project=component.project))
    there = PieceFactory.create(assembly=AssemblyFactory.create(component=component))
    double = "10000000-0000-4000-8000-000000000001"

    def one(column: str, value: Any, said: str, **cells: Any) -> Mistake:
        return Mistake({column: value, **cells}, column, str(value), said)

    return [
        one("guid", "no guid", "This is not a guid"),
        one("guid", elsewhere.guid, f"The guid {elsewhere.guid} is taken by another company"),
        one("guid", double, "Row 2 has the same guid"),
        one("piece_id", "", "This must be filled in"),
        one("piece_id", "p" * 256, "This should have at most 255 characters"),
        one("piece_id", "0", "Row 2 has the same piece id"),
        one("piece_id", there.piece_id, f"piece id “{there.piece_id}” is taken in project", guid=uuid.UUID(int=7)),
        one("project_guid", "", "This must be filled in"),
        one("project_guid", "P-001", "This is not a guid"),
        one("project_guid", NOBODY, f"There is no project {NOBODY}"),
        one("project_guid", elsewhere.project_guid, f"There is no project {elsewhere.project_guid}"),
        one("component_guid", "", "This must be filled in"),
        one("component_guid", "W01", "This is not a guid"),
        one("component_guid", NOBODY, f"There is no component {NOBODY}"),
        one("component_guid", deleted.guid, f"The component {deleted.guid} is deleted"),
        one("component_guid", other.guid, f"The component {other.guid} belongs to project"),
        one("assembly_guid", "A", "This is not a guid"),
        one("assembly_guid", NOBODY, f"There is no assembly {NOBODY}"),
        one("assembly_guid", assembly.guid, f"The assembly {assembly.guid} belongs to component"),
        *(one(name, value, "This is not a whole number") for name, value in NO_NUMBERS.items()),
        one("outer_length", "1.000", "Thousands or decimals?"),
        one("inner_length", "99999999999", "This number is too large or too small"),
        *(one(name, "x" * 256, "This should have at most 255 characters") for name in LONG[:6]),
        *(one(name, "y" * 4001, "This should have at most 4000 characters") for name in VERY_LONG[:4]),
        one("barcode", "4.07912E+12", "The spreadsheet has shortened the number"),
        one("is_active", "maybe", "This is neither true nor false"),
        one("picture", "%%%", "This is not a picture"),
        one("picture", base64.b64encode(bytes(40_000)).decode()[1:], "This is not a picture"),
        one("trolley_cell", "#N/A", "The cell shows #N/A: a formula has gone wrong"),
    ]


def rows_of(mistakes: Iterable[Mistake], component: Component) -> list[dict[str, Any]]:
    """A good row, and one with each mistake."""
    above = {"project_guid": component.project_guid, "component_guid": component.guid}
    good = {"guid": "10000000-0000-4000-8000-000000000001", "piece_id": "0", **above, "outer_length": 1200}
    bad = ({"piece_id": str(number), **above, **one.cells} for number, one in enumerate(mistakes, start=1))
    return [good, *bad]


def csv_of(rows: Sequence[dict[str, Any]], delimiter: str = ";") -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    write = csv.writer(text, delimiter=delimiter).writerow
    write(columns)
    for row in rows:
        write([row.get(name, "") for name in columns])
    return text.getvalue().encode()


def xlsx_of(rows: Sequence[dict[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    book, file = Workbook(), io.BytesIO()
    sheet = book.active
    sheet.append(columns)
    for row in rows:
        values = (row.get(name) for name in columns)
        sheet.append([str(value) if isinstance(value, uuid.UUID) else value for value in values])
    for cell in [cell for cells in sheet.iter_rows() for cell in cells if cell.data_type == "f"]:
        cell.data_type = "s"  # a text that begins like a formula
    book.save(file)
    return file.getvalue()
