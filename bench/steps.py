"""Where the milliseconds of one sync request go: its steps, timed inside the server's own process.

`python -m bench.steps` measures on a PostgreSQL of its own and prints rows of a Markdown table.
"""

import io
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)
os.environ.setdefault("LOG_LEVEL", "ERROR")

ROUNDS = 20
STEPS = {
    "read the body": ("sync.views", "read_json_body"),
    "know what comes again": ("sync.submission", "_recognised"),
    "decode and check the bytes": ("sync.submission", "parse"),
    "look: the rows there are": ("sync.planning", "_stored"),
    "look: guids of other companies": ("sync.planning", "_taken"),
    "look: who holds the piece_ids": ("sync.planning", "holders"),
    "plan": ("sync.submission", "make_plan"),
    "write: COPY and UPDATE": ("pieces.changes", "update"),
    "write: COPY and INSERT": ("pieces.changes", "insert"),
}


def main() -> int:
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        again = [sys.executable, "-m", "ractory.tests.postgresql", sys.executable, "-m", "bench.steps"]
        return subprocess.run(again, check=False).returncode
    import django

    django.setup()
    from django.core.management import call_command

    from bench.sync import Bodies
    from ractory.wsgi import application

    call_command("migrate", verbosity=0)
    times = _watch()
    bodies = Bodies()
    bodies_of: dict[str, Callable[[], bytes]] = {"new": bodies.new, "changed": bodies.changed}
    last = bodies.changed(1)
    bodies_of["unchanged"] = lambda: last
    table: dict[str, dict[str, float]] = {}
    for name, make in bodies_of.items():
        for number in range(ROUNDS + 2):
            body = make()
            started = time.perf_counter()
            _post(application, body, bodies.key)
            times["total"].append((time.perf_counter() - started) * 1000)
            if number < 2:
                times.clear()
        table[name] = {step: sum(spent) / ROUNDS if step != "total" else median(spent) for step, spent in times.items()}
        times.clear()
    _print(table)
    return 0


def _watch() -> dict[str, list[float]]:
    """Wraps each step by a stop-watch."""
    times: dict[str, list[float]] = defaultdict(list)

    def timed(step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*args, **options)
            finally:
                times[step].append((time.perf_counter() - started) * 1000)

        return run

    for step, (module, name) in STEPS.items():
        __import__(module)
        setattr(sys.modules[module], name, timed(step, getattr(sys.modules[module], name)))
    return times


def _post(application: Any, body: bytes, key: str) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/sync/pieces",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_API_KEY": key,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }
    seen: list[str] = []
    answer = b"".join(application(environ, lambda status, headers: seen.append(status)))
    assert seen == ["200 OK"], answer


def _print(table: dict[str, dict[str, float]]) -> None:
    rows = {step: [times.get(step, 0) for times in table.values()] for step in STEPS}
    totals = [times["total"] for times in table.values()]
    known = [sum(column) for column in zip(*rows.values(), strict=True)]
    rows["all else: key, receipt, commit"] = [total - part for total, part in zip(totals, known, strict=True)]
    rows["the whole request, without HTTP"] = totals
    for step, cells in rows.items():
        print(f"| {step:32} | {' | '.join(f'{cell:9.1f}' for cell in cells)} |")


if __name__ == "__main__":
    sys.exit(main())
