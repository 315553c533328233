"""A demonstration on the real server: 1000 full pieces through the HTTP API and back (contract, "Running")."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sync.management.running import held
from sync.samples import Items, fresh_key, guid, login, order, sample_company
from tenants.caller import Role
from tenants.management.printing import exit_code
from tenants.scope import every_company

PIECES = 1000
EMAIL = "demo@ractory.example"
KEY_NAME = "make demo"
PATIENCE = 60  # seconds for an answer


class Server:
    """Gunicorn on a free port, as a child process, and a small client for it. The process inherits a socket that
    listens already: a request that is sent before it is up waits there."""

    def __init__(self, key: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.key, self.url = key, f"http://127.0.0.1:{listener.getsockname()[1]}"
            command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--bind", f"fd://{listener.fileno()}"]
            command += ["--workers", "2", "--log-level", "warning"]
            environment = {"LOG_LEVEL": "WARNING", **os.environ}
            self.process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()])  # noqa: S603  # our own interpreter and arguments

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def call(self, method: str, path: str, body: Any = None) -> tuple[Any, str]:
        """The decoded answer, and how long it took; CommandError for any but a success."""
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data=data, headers=headers, method=method)  # noqa: S310  # http, to ourselves
        start = time.perf_counter()
        try:
            with urlopen(request, timeout=PATIENCE) as response:  # noqa: S310  # an address of our own
                return json.load(response), f"({(time.perf_counter() - start) * 1000:.0f} ms)"
        except HTTPError as error:
            raise CommandError(f"{method} {path} answered {error.code}: {error.read().decode()[:1000]}") from error
        except OSError as error:  # it has ended, or hangs
            raise CommandError(f"the server did not answer {method} {path}: {error}") from error


class Command(BaseCommand):
    help = "Pushes a demo project of 1000 full pieces through the HTTP API, reads it back, and keeps serving."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        password = secrets.token_urlsafe(9)
        with every_company(), transaction.atomic():
            company = sample_company("Demo Windows", guid("company"))
            login(Role.COMPANY_ADMIN, password, company, EMAIL)
            key = fresh_key(company, KEY_NAME)  # the one before is revoked
        try:
            with ExitStack() as stack:
                with held():  # or a signal could leave a server that nobody ends
                    server = Server(key)
                    stack.callback(server.end)
                server.call("GET", "/api/v1/health")  # once it is up
                self._push_and_read_back(server, order(company.guid, "DEMO-2026-001", PIECES))
                self.stdout.write(f"\nAdmin    {server.url}/admin/    {EMAIL} / {password}")
                self.stdout.write(f"API docs {server.url}/api/docs")
                self.stdout.write(f"API key  {key}")
                if not os.environ.get("DEMO_ONCE"):
                    self.stdout.write("\nServing until Ctrl-C.")
                    self.stdout.flush()  # a pipe would keep it until the end
                    server.process.wait()
        except KeyboardInterrupt as stop:
            if exit_code(stop) != 128 + signal.SIGINT:
                sys.exit(exit_code(stop))
            self.stdout.write("")  # below the terminal's ^C

    def _push_and_read_back(self, server: Server, items: Items) -> None:
        for plural, sent in items.items():
            result, ms = server.call("POST", f"/api/v1/sync/{plural}", {plural: sent})
            done = f"{result['inserted']} inserted, {result['updated']} updated"
            self.stdout.write(f"POST /api/v1/sync/{plural:10}  {done}  {ms}")
        pieces = {item["guid"]: item for item in items["pieces"]}
        query = urlencode({"project_guid": items["projects"][0]["guid"], "limit": 1000, "detail": "true"})
        read, ms = server.call("GET", f"/api/v1/pieces?{query}")
        equal = sum(row["guid"] in pieces and pieces[row["guid"]].items() <= row.items() for row in read)
        self.stdout.write(f"GET  /api/v1/pieces           {len(read)} read back, {equal} equal in every field  {ms}")
        if (len(read), equal) != (PIECES, PIECES):
            raise CommandError("what was read back is not what was sent")
