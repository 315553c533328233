"""A demonstration on the real server: 1000 full pieces through the HTTP API and back (contract, "Running").

`make demo` serves until Ctrl-C, with DEMO_ONCE=1 it ends by itself. It writes into the database of DATABASE_URL, or
else into an SQLite file. Its server, which has no limits on requests, ends with it, whatever ends that.
"""

import json
import os
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import django
import psutil

from bench.server import Server, gunicorn
from ractory.signals import catch_signals, exit_code

PIECES = 1000
EMAIL = "demo@ractory.example"
KEY_NAME = "make demo"


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
    catch_signals()
    try:
        django.setup()
        demonstrate()
    except KeyboardInterrupt as stop:
        code = exit_code(stop)
        return 0 if code == 128 + signal.SIGINT else code
    except (AssertionError, OSError) as error:  # an answer that is no success, or none
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    return 0


def demonstrate() -> None:
    from django.core.management import call_command
    from django.db import transaction

    from sync.management.running import held
    from sync.samples import fresh_key, guid, login, order, sample_company
    from tenants.caller import Role
    from tenants.scope import every_company

    call_command("migrate", verbosity=0)
    password = secrets.token_urlsafe(9)
    with every_company(), transaction.atomic():
        company = sample_company("Demo Windows", guid("company"))
        login(Role.COMPANY_ADMIN, password, company, EMAIL)
        key = fresh_key(company, KEY_NAME)  # the one before is revoked
    with ExitStack() as stack:
        with held():  # or a signal could leave a server that nobody ends
            server = stack.enter_context(gunicorn(workers=2, LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING")))
        push_and_read_back(server, key, order(company.guid, "DEMO-2026-001", PIECES))
        url = f"http://127.0.0.1:{server.port}"
        print(f"\nAdmin    {url}/admin/    {EMAIL} / {password}\nAPI docs {url}/api/docs\nAPI key  {key}")
        if not os.environ.get("DEMO_ONCE"):
            print("\nServing until Ctrl-C.", flush=True)  # a pipe would keep it until the end
            psutil.Process(server.pid).wait()


def push_and_read_back(server: Server, key: str, items: dict[str, list[dict[str, Any]]]) -> None:
    def call(method: str, path: str, body: Any = None) -> tuple[Any, str]:
        start = time.perf_counter()
        answer = server.call(method, path, key, None if body is None else json.dumps(body).encode())
        return json.loads(answer), f"({(time.perf_counter() - start) * 1000:.0f} ms)"

    for plural, sent in items.items():
        result, ms = call("POST", f"/api/v1/sync/{plural}", {plural: sent})
        print(f"POST /api/v1/sync/{plural:10}  {result['inserted']} inserted, {result['updated']} updated  {ms}")
    pieces = {item["guid"]: item for item in items["pieces"]}
    query = urlencode({"project_guid": items["projects"][0]["guid"], "limit": 1000, "detail": "true"})
    read, ms = call("GET", f"/api/v1/pieces?{query}")
    equal = sum(row["guid"] in pieces and pieces[row["guid"]].items() <= row.items() for row in read)
    print(f"GET  /api/v1/pieces           {len(read)} read back, {equal} equal in every field  {ms}")
    assert (len(read), equal) == (PIECES, PIECES), "what was read back is not what was sent"


if __name__ == "__main__":
    sys.exit(main())
