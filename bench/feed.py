"""What the change feed costs: to ask, to read, to copy everything, and to be kept for.

`python -m bench.feed` measures on a PostgreSQL of its own, with fsync, through gunicorn:

- asking when there is nothing new, to `GET /health` and to `GET /api/v1/auth/me`, which is the former plus the key;
- a page of 500 short objects, written by one act and by 500, to a list of 500;
- the first copy of a million full pieces as short objects, to paging through their list, and the worker's memory;
- syncing 1000 changed pieces, to the same with the indexes that there were before the feed.

Both sides of a ratio are measured in turn, in one run; the figures are medians. Prints rows of a Markdown table.
`--rows` says how many pieces are copied.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.server import Server
    from tenants.models import Company

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

ROUNDS, WARM_UP = 200, 20
BLOCKS, BATCHES = 6, 12  # of batches with either set of indexes, in turn
PER_ACT = 1000
ACTS = """
    INSERT INTO pieces_act (guid, company_guid, operation, actor, request_id, at, position)
    SELECT md5('act' || n)::uuid, %s, 'sync', 'bench', '', now(), 0 FROM generate_series(0, %s) AS numbers(n)
"""
WITH_FEED = (
    "CREATE INDEX act_in_order_of_all ON pieces_act (position, guid)",
    "CREATE INDEX piece_in_act ON pieces_piece (changed_in, guid)",
    "DROP INDEX IF EXISTS piece_before",
)
WITHOUT_FEED = (
    "CREATE INDEX piece_before ON pieces_piece (changed_in)",
    "DROP INDEX act_in_order_of_all",
    "DROP INDEX piece_in_act",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.feed", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        beside_postgresql = [sys.executable, "-m", "ractory.tests.postgresql"]
        os.execv(sys.executable, [*beside_postgresql, sys.executable, "-m", "bench.feed", "--rows", str(rows)])
    import django

    django.setup()
    from django.core.management import call_command

    from bench.server import gunicorn

    call_command("migrate", verbosity=0)
    with gunicorn() as server:
        writing(server)
        asking(server)
    with gunicorn() as server:
        copying(server, rows)
    return 0


def told(what: str, measured: str, target: str = "") -> None:
    print(f"| {what} | {measured} | {target} |", flush=True)


def in_turn(*works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The median seconds of each, measured in turn."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + WARM_UP):
        for measured, work in zip(times, works, strict=True):
            started = time.perf_counter()
            work()
            if number >= WARM_UP:
                measured.append(time.perf_counter() - started)
    return [median(each) for each in times]


def writing(server: "Server") -> None:
    from django.db import connection

    from bench.sync import Bodies

    bodies, times = Bodies(), ([], [])  # type: tuple[Bodies, tuple[list[float], list[float]]]

    def push(block: int) -> float:
        body = bodies.changed(block)
        started = time.perf_counter()
        server.call("POST", "/api/v1/sync/pieces", bodies.key, body)
        return time.perf_counter() - started

    for block in range(50):
        push(block)
    for number in range(2 * BLOCKS):
        if number:
            with connection.cursor() as cursor:
                for statement in (WITHOUT_FEED, WITH_FEED)[number % 2 == 0]:
                    cursor.execute(statement)
                cursor.execute("VACUUM ANALYZE pieces_piece")
        push(0)
        times[number % 2].extend(push(block % 50) for block in range(BATCHES))
    with connection.cursor() as cursor:
        for statement in WITH_FEED:
            cursor.execute(statement)
    after, before = map(median, times)
    told(
        "1000 changed pieces, to the same without the feed's indexes",
        f"{after / before:.3f}x ({after * 1000:.0f} ms)",
        "1.03x",
    )


def asking(server: "Server") -> None:
    from pieces.tests.factories import AssemblyFactory
    from sync.tests.batches import piece_item
    from tenants.tests.factories import issue_key

    assembly = AssemblyFactory.create()
    key = issue_key(assembly.company)
    pieces = [piece_item(assembly, piece_id=str(number), barcode=f"B{number}") for number in range(500)]

    def get(path: str) -> Callable[[], bytes]:
        return lambda: server.call("GET", path, key)

    def sync(*items: Any) -> None:
        from ractory.api.rendering import to_json

        server.call("POST", "/api/v1/sync/pieces", key, to_json({"pieces": items}))

    cursors = []
    for batches in ([pieces], [[piece] for piece in pieces]):
        cursors.append(json.loads(get("/api/v1/changes?after=now")())["cursor"])
        guids = {piece["piece_id"]: piece["guid"] for piece in json.loads(get("/api/v1/pieces?limit=1000")())}
        for batch in batches:
            sync(*({**piece, "barcode": f"{len(cursors)}", **_known(guids, piece)} for piece in batch))
        if len(cursors) == 1:
            page = get(f"/api/v1/changes?after={cursors[0]}")
            assert len(json.loads(page())["changes"]) == 500
            one, listed = in_turn(page, get("/api/v1/pieces?limit=500"))
            told("a page of 500 changes of one act, to a list of 500", _ratio(one, listed), "2x")
    page = get(f"/api/v1/changes?after={cursors[1]}")
    assert len(json.loads(page())["changes"]) == 500
    many, listed = in_turn(page, get("/api/v1/pieces?limit=500"))
    told("a page of 500 changes of 500 acts, to the same", _ratio(many, listed), "2x")
    idle = get(f"/api/v1/changes?after={json.loads(page())['cursor']}")
    assert json.loads(idle())["changes"] == []
    nothing, me, health = in_turn(idle, get("/api/v1/auth/me"), get("/health"))
    told("asking with nothing new, to `GET /health` plus the key", _ratio(nothing, me), "1.5x")
    told("the same, to `GET /health` alone", _ratio(nothing, health))


def _known(guids: dict[str, str], piece: dict[str, Any]) -> dict[str, str]:
    guid = guids.get(piece["piece_id"])
    return {"guid": guid} if guid else {}


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}x ({one * 1000:.1f} ms, {other * 1000:.1f} ms)"


def copying(server: "Server", rows: int) -> None:
    from django.db import connection

    from bench.sizes import fill
    from tenants.scope import every_company
    from tenants.tests.factories import issue_key

    company: Company = fill(rows, "uuidv7()", changed_in=f"md5('act' || n / {PER_ACT})::uuid")
    with every_company(), connection.cursor() as cursor:
        cursor.execute(ACTS, [company.guid, rows // PER_ACT])
        cursor.execute("VACUUM ANALYZE pieces_act")
    key = issue_key(company)
    [before] = server.memory()
    copied, seconds = 0, [0.0, 0.0]
    more, cursor_, link = True, "", "/api/v1/pieces?limit=1000"
    while more:  # a page of either, in turn
        started = time.perf_counter()
        answer = server.call("GET", f"/api/v1/changes?entity=pieces&limit=1000{cursor_}", key)
        seconds[0] += time.perf_counter() - started
        page = json.loads(answer)
        more, cursor_ = page["more"], f"&after={page['cursor']}"
        copied += len(page["changes"])
        if link:
            started = time.perf_counter()
            link = _next(server, link, key)
            seconds[1] += time.perf_counter() - started
    [after] = server.memory()
    assert copied == rows + 1
    speed = [copied / each for each in seconds]
    told(f"first copy of {rows} pieces, rows a second", f"{speed[0]:.0f}", "20 000")
    told("the same, to paging through the list", f"{speed[0] / speed[1]:.2f}x", "0.8x")
    told("the worker's memory before and after", f"{before:.0f} MiB, {after:.0f} MiB", "flat")


def _next(server: "Server", link: str, key: str) -> str:
    """Reads a page of a list; where the next one is, "" after the last."""
    import http.client
    from contextlib import closing

    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
        connection.request("GET", link, headers={"X-API-Key": key})
        response = connection.getresponse()
        response.read()
    found = re.match(r"<https?://[^/]+([^>]+)>", response.headers.get("Link") or "")
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit(main())
