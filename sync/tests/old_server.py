"""The old server's database, as its one migration made it (docs/migrating.md), in a PostgreSQL of its own.

Without foreign keys: rows were seen in it that break them.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import bcrypt
import psycopg
import pytest

from ractory.tests.postgresql import embedded_postgres_url
from tenants.tests.factories import PASSWORD

NOW = "'2025-03-01T08:00:00+01'"
KEPT = "is_active boolean NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz, deleted_at timestamptz"
OF_COMPANY = f"guid uuid PRIMARY KEY, company_guid uuid NOT NULL, {KEPT}"
TEXTS = """
  orientation barcode trolley cell trolley_cell operations component_code component_description info2 info3 client
  dealer project_description reinforcement_code hardware_info glass_info project_number component_number water_handle
  segment_order cutting_pattern fixing_mode material_type project_code_parent bar_id profile_code profile_name
  lamination gasket profile_color profile_type_ra profile_type trolley_size profile_code_with_color
  parent_assembly_trolley_cell mullion_trolley_cell glazing_bead_trolley_cell project_phase"""
NUMBERS = """
  outer_length angle_left angle_right assembly_width assembly_height inner_length reinforcement_length other_length
  bar_rest bar_length bar_cutting_tolerance profile_width profile_height welding_tolerance"""
PIECE_TEXTS, PIECE_NUMBERS = TEXTS.split(), NUMBERS.split()
COLUMNS = ", ".join([*(f"{name} text" for name in PIECE_TEXTS), *(f"{name} int" for name in PIECE_NUMBERS)])
SCHEMA = f"""
CREATE TABLE companies (guid uuid PRIMARY KEY, name varchar(100) NOT NULL, short_name varchar(50),
  logo_path varchar(255), company_index int UNIQUE, {KEPT});
CREATE TABLE api_keys ({OF_COMPANY}, key_hash text NOT NULL UNIQUE, description text, scopes text,
  last_used_at timestamptz);
CREATE TABLE projects ({OF_COMPANY}, code text NOT NULL, due_date timestamptz, in_production boolean,
  company_name text);
CREATE TABLE users ({OF_COMPANY}, email text NOT NULL UNIQUE, pwd_hash text NOT NULL, role text NOT NULL,
  pin varchar(6), name text, surname text, picture_path text);
CREATE TABLE workstations ({OF_COMPANY}, location varchar(255) NOT NULL, type varchar(50) NOT NULL);
CREATE TABLE components ({OF_COMPANY}, code text NOT NULL, designation text, project_guid uuid NOT NULL,
  quantity int NOT NULL, picture bytea);
CREATE TABLE ui_templates (id int PRIMARY KEY, company_guid uuid NOT NULL, workstation_guid uuid,
  name varchar(255) NOT NULL, json_data json NOT NULL, {KEPT});
CREATE TABLE workflow (guid uuid PRIMARY KEY, company_guid uuid NOT NULL, action_value text,
  created_at timestamptz NOT NULL, updated_at timestamptz);
CREATE TABLE articles ({OF_COMPANY}, code text NOT NULL, project_guid uuid NOT NULL, component_guid uuid NOT NULL);
CREATE TABLE assemblies ({OF_COMPANY}, project_guid uuid NOT NULL, component_guid uuid NOT NULL,
  trolley_cell text, trolley text, cell_number int, picture bytea);
CREATE TABLE pieces ({OF_COMPANY}, piece_id text NOT NULL, {COLUMNS}, project_guid uuid NOT NULL,
  component_guid uuid NOT NULL, assembly_guid uuid, picture bytea);
"""


class Old:
    """The old server's database."""

    def __init__(self, url: str, connection: psycopg.Connection[Any]) -> None:
        self.url, self.connection = url, connection
        self.company = self.add("companies", name="Fenster Huber", short_name="Huber")

    def add(self, table: str, **values: Any) -> str:
        """A row, whose guid is returned; what every table has is filled in."""
        row = {"guid": str(uuid.uuid4()), "is_active": True} | values
        if table == "workflow":
            del row["is_active"]
        if table != "companies":
            row.setdefault("company_guid", self.company)
        columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
        query = f"INSERT INTO {table} ({columns}, created_at) VALUES ({places}, {NOW})"  # noqa: S608  # our own names
        self.connection.execute(query.encode(), list(row.values()))
        return str(row["guid"])

    def project(self, **values: Any) -> dict[str, str]:
        return {"project_guid": self.add("projects", **{"code": "P"} | values)}

    def component(self, above: dict[str, str], **values: Any) -> dict[str, str]:
        row = {"code": "C", "quantity": 1, "project_guid": above["project_guid"]}
        return {"project_guid": above["project_guid"], "component_guid": self.add("components", **row | values)}

    def piece(self, above: dict[str, str], piece_id: str, **values: Any) -> str:
        return self.add("pieces", piece_id=piece_id, **above | values)

    def user(self, email: str, role: str = "Operator", **values: Any) -> str:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        return self.add("users", **{"email": email, "role": role, "pwd_hash": hashed} | values)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with embedded_postgres_url(durable=False) as url:
        yield url


@pytest.fixture
def old(server: str) -> Iterator[Old]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(SCHEMA.encode())
        yield Old(server, connection)
