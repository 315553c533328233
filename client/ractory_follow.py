"""Follows what changes in Ractory: keeps a copy of it in an SQLite file, or prints it. Beside ractory_client.py.

    RACTORY_KEY=rfk_… python ractory_follow.py https://ractory.example mirror.sqlite [--entity pieces] [--print]

The copy has a table for each entity; `object` is JSON, without the counts of what is below, which change by themselves.
The cursor is written with the rows, in one transaction: killed at any time and started again, it goes on. After a 410
all is copied anew, and the old rows stay until that is done. With --print each change is a line of JSON instead, and
the file has the cursor alone; the lines of a page that was being printed when it was killed come again, and after
{"start_again": true} all rows come anew. Exit codes are those of ractory_client.
"""

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from client.ractory_client import LIMITS, Client, ClientError, GaveUp
else:
    from ractory_client import LIMITS, Client, ClientError, GaveUp

STATE = "CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY, cursor TEXT, copy INTEGER, complete INTEGER)"
COLUMNS = "guid TEXT PRIMARY KEY, is_active INTEGER, updated_at TEXT, run_guid TEXT, object TEXT, copy INTEGER"
TABLES = [f"CREATE TABLE IF NOT EXISTS {entity} ({COLUMNS})" for entity in LIMITS]
PUT = {entity: f"REPLACE INTO {entity} VALUES (?, ?, ?, ?, ?, ?)" for entity in LIMITS}  # noqa: S608  # our own names


def follow(client: Client, file: sqlite3.Connection, query: Mapping[str, str], every: float | None) -> Iterator[Any]:
    """Yields page after page; keeps what is left of its `changes` and the cursor when asked for the next one. When
    there is nothing more it ends, or looks again `every` so many seconds."""
    file.executescript(";".join(("PRAGMA journal_mode = WAL", STATE, *TABLES)))
    cursor, copy, complete = file.execute("SELECT cursor, copy, complete FROM state").fetchone() or (None, 0, 0)
    while True:
        path = "/api/v1/changes?" + urlencode({**query, **({"after": cursor} if cursor else {})})
        answer, _ = client.insist(partial(client.attempt, "GET", path), 200, 410)
        page = json.loads(answer.body)
        if answer.status == 410:
            page, copy = {"changes": [], "cursor": None, "more": True, "start_again": True}, copy + 1
        yield page
        with file:
            for change in page["changes"]:
                kept = {name: value for name, value in change["object"].items() if not name.endswith("_count")}
                about = [change[name] for name in ("guid", "is_active", "updated_at", "run_guid")]
                file.execute(PUT[change["entity"]], [*about, json.dumps(kept), copy])
            if not page["more"] and complete < copy:
                complete = copy
                for entity in LIMITS:
                    file.execute(f"DELETE FROM {entity} WHERE copy < ?", [copy])  # noqa: S608  # our own names
            if page["cursor"] != cursor:
                cursor = page["cursor"]
                file.execute("REPLACE INTO state VALUES (1, ?, ?, ?)", [cursor, copy, complete])
        if not page["more"]:
            if every is None:
                return
            client.sleep(every)


def main() -> int:
    parser = argparse.ArgumentParser(description="Follows the changes of Ractory; the key is in RACTORY_KEY.")
    parser.add_argument("url")
    parser.add_argument("file", help="an SQLite file, which is made if it is not there")
    parser.add_argument("--print", action="store_true", help="a line of JSON for each change; the file keeps no rows")
    parser.add_argument("--once", action="store_true", help="end when there is nothing more")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="how often to look; 1.0")
    for name in ("entity", "fields", "limit"):
        parser.add_argument(f"--{name}", help="as in the query of /api/v1/changes")
    options = parser.parse_args()
    query = {name: value for name in ("entity", "fields", "limit") if (value := getattr(options, name))}
    seen, every = 0, None if options.once else options.every
    try:
        client = Client(options.url, os.environ.get("RACTORY_KEY", ""))
        with client, closing(sqlite3.connect(options.file, timeout=60)) as file:
            for page in follow(client, file, {"detail": "true", **query}, every):
                seen += len(page["changes"])
                if options.print:
                    lines, page["changes"] = [page] if "start_again" in page else page["changes"], []
                    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)
                    sys.stdout.flush()
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{seen} changes ")
        return 0
    except (ClientError, OSError, ValueError, sqlite3.Error) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3 if isinstance(error, GaveUp) else 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
