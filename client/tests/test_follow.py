"""The reference follower against the real server: a mirror that is right after kills, a 410, and busy servers."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.faults.server import Server
from client import ractory_client
from client.tests.stub import Reply, Stub
from pieces.models import LEVELS
from pieces.reading import counted, fields_of
from pieces.tests.copies import copies
from pieces.tests.families import Family, family_of
from sync.models import Feed
from sync.tests.follower import Rows, as_sent
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, issue_key

SCRIPT = Path(ractory_client.__file__).with_name("ractory_follow.py")


class Follow:
    """The command, following into one file."""

    def __init__(self, url: str, file: Path, key: str = "rfk_test") -> None:
        self.command = [sys.executable, str(SCRIPT), url, str(file)]
        self.file, self.environment = file, {**os.environ, "RACTORY_KEY": key}

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*self.command, *options], env=self.environment, **pipes)  # type: ignore[call-overload, no-any-return]  # noqa: S603  # our own

    def once(self, *options: str) -> list[Any]:
        """What it prints until there is nothing more."""
        process = self.start("--once", *options)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")
        return [json.loads(line) for line in out.splitlines()]

    def mirror(self) -> Rows:
        found: Rows = {}
        with closing(sqlite3.connect(self.file)) as file:
            for level in LEVELS:
                rows = file.execute(f"SELECT guid, object FROM {level.plural}")  # noqa: S608  # our own names
                found |= {(level.plural, guid): json.loads(text) for guid, text in rows}
        return found


@every_company()
def on_the_server(company: Company) -> Rows:
    found: Rows = {}
    for level in LEVELS:
        fields = [name for name in fields_of(level, full=True) if name not in counted(level)]
        for row in level.all_objects.filter(company=company).values(*fields):
            found[level.plural, str(row["guid"])] = as_sent(row)
    return found


@pytest.fixture
def family(transactional_db: None) -> Family:
    return family_of(CompanyFactory.create(), picture=b"\1\2\3", barcode="ö\1")


@pytest.fixture
def company(family: Family) -> Company:
    return Company.objects.get(guid=family.project.company_guid)


@pytest.fixture
def follow(server: Server, company: Company, tmp_path: Path) -> Follow:
    return Follow(server.url, tmp_path / "mirror.sqlite", issue_key(company))


def push(server: Server, company: Company, *codes: str, **more: Any) -> None:
    items = [{"guid": str(uuid.uuid4()), "code": code, "company_guid": str(company.guid), **more} for code in codes]
    with ractory_client.Client(server.url, issue_key(company)) as client:
        assert [result.outcome for result in ractory_client.push(client, "projects", items)] == ["acknowledged"]


def test_the_mirror_is_what_the_server_has(server: Server, follow: Follow, company: Company) -> None:
    assert follow.once() == []  # silent, in a pipe
    assert follow.mirror() == on_the_server(company)
    push(server, company, "a", "b")
    follow.once()
    assert follow.mirror() == on_the_server(company)
    assert len(follow.mirror()) == 6


def test_killed_at_any_time_and_started_again_it_goes_on(
    server: Server, follow: Follow, company: Company, family: Family
) -> None:
    copies(family.piece, 3000)
    rng, kills = random.Random(5), 0  # noqa: S311  # no secret depends on it
    while kills < 4:
        process = follow.start("--limit", "20", "--every", "0.01")
        time.sleep(rng.uniform(0.2, 0.7))
        push(server, company, str(kills))
        process.kill()
        process.communicate()
        kills += 1
    follow.once("--limit", "1000")
    assert follow.mirror() == on_the_server(company)


def test_after_a_410_all_is_copied_anew_and_what_is_gone_goes(follow: Follow, company: Company, family: Family) -> None:
    follow.once()
    with every_company():
        type(family.piece).across_companies.filter(guid=family.piece.guid).delete()
    Feed.objects.update(identity=uuid.uuid4())
    before = follow.mirror()
    assert ("pieces", str(family.piece.guid)) in before
    follow.once("--limit", "1")
    assert follow.mirror() == on_the_server(company)
    assert len(follow.mirror()) == 3


def test_printed_changes_are_lines_and_the_cursor_is_kept(server: Server, follow: Follow, company: Company) -> None:
    lines = follow.once("--print", "--fields", "code,barcode")
    assert [line["entity"] for line in lines] == [level.plural for level in LEVELS]
    assert lines[3]["object"] == {"barcode": "ö\1"}
    assert follow.once("--print") == []
    push(server, company, "c")
    assert [line["object"]["code"] for line in follow.once("--print")] == ["c"]
    Feed.objects.update(identity=uuid.uuid4())
    first, *lines = follow.once("--print")
    assert first["start_again"] is True
    assert len(lines) == 5
    assert follow.mirror() == {}


def page(*guids: str, cursor: str, more: bool = False) -> Reply:
    about = {"entity": "pieces", "is_active": True, "updated_at": "", "run_guid": None, "object": {}}
    changes = [{**about, "guid": guid} for guid in guids]
    return Reply(body=json.dumps({"changes": changes, "cursor": cursor, "more": more}).encode())


def test_busy_servers_are_asked_again_after_a_while(stub: Stub, tmp_path: Path) -> None:
    wait = {"Retry-After": "0"}
    stub.script = [Reply(429, b"{}", wait), page("1", cursor="a", more=True), Reply(503, b"{}", wait), page(cursor="b")]
    follow = Follow(f"http://127.0.0.1:{stub.port}", tmp_path / "mirror.sqlite")
    follow.once("--entity", "pieces")
    asked = [path for path, _, _ in stub.requests]
    first = "/api/v1/changes?detail=true&entity=pieces"
    assert asked == [first, first, f"{first}&after=a", f"{first}&after=a"]
    assert list(follow.mirror()) == [("pieces", "1")]


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_refusal_ends_it(stub: Stub, tmp_path: Path, status: int) -> None:
    stub.script = [Reply(status, b'{"detail": "no"}')]
    process = Follow(f"http://127.0.0.1:{stub.port}", tmp_path / "mirror.sqlite").start()
    assert process.communicate() == (b"", f"Rejected: {status} no\n".encode())
    assert process.returncode == 2
