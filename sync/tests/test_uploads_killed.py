"""Uploads whose server is killed in the middle of a batch, and pages that ask for the same batch at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from urllib.request import Request, urlopen

import pytest
from django.test import Client

from bench.faults.server import ROOT, Server, environment
from client.tests.live import database_url
from pieces.integrity import broken_invariants
from pieces.models import Component, Piece
from ractory.api.tests.threads import at_once
from sync.admin import uploads as pages
from sync.files import uploads
from sync.models import SyncRun, Upload
from sync.tests.files import small_piece
from sync.tests.mistakes import csv_of
from sync.tests.uploading import JSON, brought, decide, decided, page_of, uploaded, worked
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.staff import admin_of

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 2500
TOKEN = "t" * 32  # against forged requests: the cookie's is the form's


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def file_of(component: Component, count: int = ROWS) -> bytes:
    """Every hundredth row is refused; the rows have no guids to be known by."""
    rows = (small_piece(component, number, outer_length="x" if number % 100 == 99 else 1) for number in range(count))
    return csv_of(list(rows))


def assert_all_is_in_once(upload: Upload, rows: int = ROWS) -> None:
    good = rows - rows // 100
    with every_company():
        assert (upload.stage, upload.total, upload.inserted, upload.faulty) == ("done", rows, good, rows // 100)
        assert Piece.objects.count() == good
        received = SyncRun.objects.filter(request_id=str(upload.guid)).values_list("received", flat=True)
        assert sum(received) == rows
        assert sum(bytes(part.faults).count(b'"outer_length"') > 0 for part in upload.batches) == upload.batches.count()
        assert not any(broken_invariants().values())


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "faults.ndjson"
    with Server(environment(database_url(), FAULT_LOG=str(log)), workers=2) as server:
        yield server


def killed_while_it_goes_on(server: Server, staff: Client, upload: Upload, fault: str) -> bool:
    """Asks a real server to go on; whether its worker died over it."""
    cookies = f"sessionid={staff.cookies['sessionid'].value}; csrftoken={TOKEN}"
    headers = {**JSON, "Cookie": cookies, "X-CSRFToken": TOKEN, "X-Fault": fault}
    request = Request(server.url + page_of(upload, "go-on/"), b"", headers)  # noqa: S310  # our own server
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310
            assert response.status == 200
    except (OSError, HTTPException):
        return True
    return False


def test_a_worker_that_is_killed_in_a_batch_loses_nothing(server: Server, staff: Client, component: Component) -> None:
    """Before it has written the batch, before its transaction ends, and a moment after."""
    upload = uploaded(staff, file_of(component))
    for decision in ("check", "import"):
        decide(staff, upload, decision)
        for fault in ("planned worker", *(["inserted worker", "receipt worker"] if decision == "import" else [])):
            assert killed_while_it_goes_on(server, staff, upload, fault)
            upload.refresh_from_db()
            assert (upload.rows, Piece.objects.count()) == (0, 0)
        killed_while_it_goes_on(server, staff, upload, "planned soon")
        upload = worked(staff, upload)
    assert_all_is_in_once(upload)


def test_killed_while_it_reads_it_goes_on_after_the_last_batch(
    staff: Client, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = brought(staff, file_of(component))
    command = [sys.executable, str(ROOT / "manage.py"), "finish_upload", str(upload.guid)]
    for _ in range(3):
        process = subprocess.Popen(command, env=environment(database_url()))  # noqa: S603  # our own command
        before = upload.total
        while process.poll() is None and upload.total == before and upload.stage == "reading":
            time.sleep(0.002)
            upload.refresh_from_db()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        upload.refresh_from_db()
    upload = decided(staff, decided(staff, worked(staff, upload), "check"), "import")
    assert_all_is_in_once(upload)


@pytest.mark.postgresql
def test_two_pages_at_once_do_no_batch_twice(
    staff: Client, company: Company, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "BATCH", 100)
    monkeypatch.setattr(pages, "SECONDS", 0.1)
    upload, other = brought(staff, file_of(component, 1500)), admin_of(company)

    def both() -> None:
        for _ in range(100):
            at_once(*(partial(client.post, page_of(upload, "go-on/"), headers=JSON) for client in (staff, other)))
            upload.refresh_from_db()
            if upload.stage not in Upload.WORKING:
                break

    both()
    for decision in ("check", "import"):
        at_once(*(partial(decide, client, upload, decision) for client in (staff, other)))
        both()
    assert_all_is_in_once(upload, 1500)
