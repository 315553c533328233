"""Sends the server what no client would, a million times, and holds every answer against the contract.

`python -m bench.fuzz --requests 1000000` (or `make fuzz`) calls the WSGI application in process, on a PostgreSQL of
its own; bench.fuzzing says what is sent and what is checked. `--seed` repeats a run, `--replay FILE` one finding. It
ends with a table and exits with 0 if nothing was found.
"""

import argparse
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from bench.server import UNLIMITED
from ractory.tests.postgresql import embedded_postgres_url

if TYPE_CHECKING:  # needs the settings, which need the database
    from bench.fuzzing.campaign import Campaign, Finding

ROUND = 5000  # requests to one world
ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "ractory.settings", "DEBUG": "false", "LOG_LEVEL": "ERROR", **UNLIMITED}


def main() -> int:
    options = _parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a shell, the first is ignored by default
        signal.signal(number, signal.default_int_handler)
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(64))
    if options.processes > 1:
        return _several(options)
    with embedded_postgres_url(durable=False) as url:
        os.environ["DATABASE_URL"] = url
        campaign = _campaign(options)
        return _replay(campaign, options.replay) if options.replay else _run(campaign, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**9))
    parser.add_argument("--processes", type=int, default=1, help="each with a database and a share of the requests")
    parser.add_argument("--first-round", type=int, default=0, help="to come to a finding of a later one at once")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # where one of several processes puts it
    return parser


def _campaign(options: argparse.Namespace) -> "Campaign":
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    # What is not as in production, for the sake of speed: how passwords are hashed, since a login would cost as much
    # as hundreds of other requests; and nobody asks before each request whether the connection is still there.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    connection.settings_dict["CONN_HEALTH_CHECKS"] = False
    call_command("migrate", verbosity=0)
    import_module("ractory.wsgi")  # as a worker does: it tunes the garbage collector
    logging.getLogger().handlers.clear()  # a million refusals are no news
    from bench.fuzzing.campaign import Campaign

    return Campaign(options.seed, tell=lambda finding: _tell(finding, options.findings))


def _tell(finding: "Finding", folder: Path) -> None:
    print(f"--- {finding}\n--- {finding.save(folder)}", flush=True)


def _run(campaign: "Campaign", options: argparse.Namespace) -> int:
    """Rounds until all is sent, or until it is interrupted: then it tells what there is so far."""
    figures, started = campaign.figures, time.monotonic()
    print(f"seed {options.seed}: {options.requests} requests", flush=True)
    with suppress(KeyboardInterrupt):
        for number in count(options.first_round):
            campaign.world.restart()
            campaign.round(number, min(ROUND, options.requests - figures.requests))
            rate, found = figures.requests / (time.monotonic() - started), figures.found.total()
            print(f"seed {options.seed}: {figures.requests}, {rate:.0f} a second, {found} findings", flush=True)
            if figures.requests >= options.requests:
                break
    result = _result(campaign, time.monotonic() - started)
    if options.result:
        options.result.write_text(json.dumps(result))
    else:
        _print_table(result)
    return 1 if figures.found or figures.requests < options.requests else 0


def _result(campaign: "Campaign", seconds: float) -> dict[str, Any]:
    figures = campaign.figures
    return {
        "seeds": [campaign.seed],
        "requests": figures.requests,
        "seconds": round(seconds),
        "answers": {f"{endpoint} {status}": number for (endpoint, status), number in figures.answers.items()},
        "slowest": {endpoint: round(seconds * 1000) for endpoint, seconds in figures.slowest.items()},
        "watched": figures.watched,
        "integrity checks": figures.checks,
        "found": dict(figures.found),
    }


def _several(options: argparse.Namespace) -> int:
    """Each process has its own seed, database and share."""
    with tempfile.TemporaryDirectory(prefix="ractory-fuzz-") as folder:
        results = [Path(folder, str(number)) for number in range(options.processes)]
        processes = []
        for number, result in enumerate(results):
            share = options.requests // options.processes + (number < options.requests % options.processes)
            command = [sys.executable, "-m", "bench.fuzz", "--requests", str(share), "--result", str(result)]
            command += ["--seed", str(options.seed + number), "--findings", str(options.findings)]
            processes.append(subprocess.Popen(command))
        codes = [_ended(process) for process in processes]
        _print_table(_sum([json.loads(result.read_text()) for result in results if result.exists()]))
    return 1 if any(codes) else 0


def _ended(process: "subprocess.Popen[bytes]") -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)


def _sum(results: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"seconds": max((result["seconds"] for result in results), default=0)}
    total["seeds"] = [seed for result in results for seed in result["seeds"]]
    for name in ("requests", "watched", "integrity checks"):
        total[name] = sum(result[name] for result in results)
    for name in ("answers", "found"):
        total[name] = dict(sum((Counter(result[name]) for result in results), Counter()))
    endpoints = {endpoint for result in results for endpoint in result["slowest"]}
    total["slowest"] = {name: max(result["slowest"].get(name, 0) for result in results) for name in endpoints}
    return total


def _print_table(result: dict[str, Any]) -> None:
    by_endpoint: dict[str, dict[str, int]] = {}
    for name, number in sorted(result["answers"].items()):
        endpoint, _, status = name.rpartition(" ")
        by_endpoint.setdefault(endpoint, {})[status] = number
    print(f"{'endpoint':20} {'requests':>9} {'slowest ms':>10}  statuses")
    for endpoint, statuses in by_endpoint.items():
        said = ", ".join(f"{status}: {number}" for status, number in statuses.items())
        print(f"{endpoint:20} {sum(statuses.values()):9} {result['slowest'].get(endpoint, 0):10}  {said}")
    server_errors = sum(number for name, number in result["answers"].items() if name.rpartition(" ")[2] >= "500")
    for name in ("seeds", "requests", "seconds", "watched", "integrity checks"):
        print(f"{name:40} {result[name]}")
    print(f"{'requests a second':40} {result['requests'] / max(1, result['seconds']):.0f}")
    print(f"{'5xx':40} {server_errors}")
    print(f"{'findings':40} {sum(result['found'].values())}")
    for name, number in result["found"].items():
        print(f"FOUND {number:6} {name}")


def _replay(campaign: "Campaign", path: Path) -> int:
    from bench.fuzzing.campaign import replay

    campaign.world.begin()
    answer, complaints = replay(campaign.world, json.loads(path.read_text()))
    print(answer.status, answer.headers, answer.body[:2000], *answer.log, *complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
