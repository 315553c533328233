"""What an attack does to those who have nothing to do with it, and to the memory of the workers.

`python -m bench.hostile` (or with the names of some attacks) starts a PostgreSQL of its own, and for each attack anew
gunicorn as `gunicorn.conf.py` says, with two workers and all limits, behind nginx as docs/nginx.conf says (Debian's:
apt-get install nginx-light). A bystander, at 127.0.0.1, with a key of one company, asks for a list of 100 pieces again
and again, with a pause of 20 ms; an attacker, at 127.0.0.2, with what another company has, attacks and leaves off in
turn. Before each attack the counters of the limits are as new.

It prints the medians of the bystander's times with and without each attack, their ratio, the most memory that a worker
has had, and what the attacker was answered. It exits with 1 if a ratio is above 3, a worker had more than 400 MiB or
ended, the bystander was refused anything, or anybody was answered with a 5xx. A million pieces need about 3 GB of disk;
`--pieces` says otherwise.

Bystander and attacker are on the machine of the server and share its processors with it; the attacker gives way
(bench.attacks).
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from bench.attacks import Attack, Targets, attacking, attacks

if TYPE_CHECKING:
    from ractory.tests.served import Served

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

ROUNDS, SECONDS = 3, 2.0  # of each side of an attack
PAUSE, CALM = 0.02, 5  # seconds between two lists; lists that are not measured, after an attack
TARGET_RATIO, TARGET_MEMORY = 3.0, 400
PIECES, PICTURES, ACCOUNTS = 1_000_000, 1000, 20
LIST = "/api/v1/pieces?limit=100"


@dataclass(slots=True)
class Figures:
    """Of one attack: seconds, MiB, answers to the attacker, and what went wrong for others."""

    attack: str
    quiet: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    memory: float = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def ratio(self) -> float:
        return median(self.beside) / median(self.quiet)

    @property
    def is_held(self) -> bool:
        return self.ratio <= TARGET_RATIO and self.memory <= TARGET_MEMORY and not self.faults

    def __str__(self) -> str:
        quiet, beside = ([time * 1000 for time in times] for times in (self.quiet, self.beside))
        answers = " ".join(f"{number}x{status}" for status, number in sorted(self.statuses.items()))
        return (
            f"| {self.attack:10} | {median(quiet):7.1f} | {median(beside):7.1f} | {self.ratio:5.2f}x "
            f"| {_p95(quiet):7.1f} | {_p95(beside):7.1f} | {self.memory:4.0f} | {answers} "
            f"| {'' if self.is_held else 'MISSED'} {' '.join(f'{n} {fault}' for fault, n in self.faults.items())} |"
        )


HEAD = """\
| attack     | alone, ms | beside, ms | ratio | p95 alone | p95 beside | MiB | answers to the attacker | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def _p95(times: Sequence[float]) -> float:
    return quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ATTACK", help="all of them, unless named")
    parser.add_argument("--pieces", type=int, default=PIECES, help="of the company that is searched and deleted")
    options = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        again = [sys.executable, "-m", "ractory.tests.postgresql", sys.executable, "-m", "bench.hostile", *sys.argv[1:]]
        os.execv(sys.executable, again)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    targets, bystander = _fill(options.pieces)
    chosen = [attack for attack in attacks(targets) if attack.name in options.names or not options.names]
    if unknown := set(options.names) - {attack.name for attack in chosen}:
        parser.error(f"There is no {', '.join(unknown)}.")
    return report([measure(attack, bystander) for attack in chosen])


def report(all_figures: Sequence[Figures]) -> int:
    """Prints the table; 1 if a target is missed."""
    print(HEAD, *all_figures, sep="\n", flush=True)
    return 0 if all(figures.is_held for figures in all_figures) else 1


# --- The site ---------------------------------------------------------------------------------


@contextmanager
def site() -> Iterator[tuple["Served", int]]:
    """gunicorn, and the port of the nginx in front of it."""
    from bench.nginx import COMPOSE, nginx
    from ractory.tests.served import served

    files = {name: (COMPOSE / name).read_text() for name in ("hosts.conf", "listen.conf")}
    with tempfile.TemporaryDirectory(prefix="ractory-hostile-") as folder:
        known = {"DATABASE_URL": os.environ["DATABASE_URL"], "TRUSTED_PROXIES": "1"}
        with served(Path(folder) / "log", **known) as server:
            changes = {"server server:8000": f"server 127.0.0.1:{server.port}", "listen 80": "listen 127.0.0.1:{port}"}
            with nginx(files, changes) as port:
                yield server, port


def _memory(pid: int) -> float:
    """The most that a process ever had, in MiB, what it shares with others included."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def _fill(pieces: int) -> tuple[Targets, str]:
    """A company to attack and attack from, another one with pictures; and the key of a third one, the bystander's."""
    from django.contrib.auth.hashers import make_password
    from django.db import connection

    from bench.faults.database import Database
    from pieces.models import Piece
    from pieces.tests.copies import copies
    from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
    from sync.tests.batches import full_piece
    from tenants.caller import KeyScope
    from tenants.models import User
    from tenants.scope import every_company
    from tenants.tests.factories import PASSWORD, issue_key

    beside = PieceFactory.create()
    copies(beside, 300)
    pictured = ComponentFactory.create(picture=os.urandom(256 * 1024))
    copies(pictured, PICTURES)
    assembly = AssemblyFactory.create()
    others = [ProjectFactory.create(company=assembly.company) for _ in range(2)]
    hashed = make_password(PASSWORD)
    database = Database(os.environ["DATABASE_URL"])
    with every_company():
        User.objects.bulk_create(
            User(email=f"user{number}@example.com", company=assembly.company, role="Operator", password=hashed)
            for number in range(ACCOUNTS)
        )
        original = Piece(**full_piece(assembly))
        original.save()
        database.rows("ALTER TABLE pieces_piece DISABLE TRIGGER ALL")  # or each of the copies looks for its parents
        copies(original, pieces, guid="uuidv7()", barcode="'BARCODE' || n")
        database.rows("ALTER TABLE pieces_piece ENABLE TRIGGER ALL")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    targets = Targets(
        company=str(assembly.company_guid),
        key=issue_key(assembly.company),
        reader=issue_key(assembly.company, KeyScope.SYNC_READ),
        pictures=issue_key(pictured.company),
        project=str(assembly.project_guid),
        others=[str(project.guid) for project in others],
        accounts=[f"user{number}@example.com" for number in range(ACCOUNTS)],
        password=PASSWORD,
    )
    return targets, issue_key(beside.company)


# --- Measuring --------------------------------------------------------------------------------


def measure(attack: Attack, key: str) -> Figures:
    print(f"{attack.name}: {attack.what}", file=sys.stderr, flush=True)
    figures = Figures(attack.name)
    with site() as (server, port), closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        before = server.workers()

        def looked() -> float:
            started = time.perf_counter()
            connection.request("GET", LIST, headers={"X-API-Key": key})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                figures.faults[f"x {response.status} to the bystander"] += 1
            return time.perf_counter() - started

        for _ in range(1 if attack.once else ROUNDS):
            _wait_for(looked)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                figures.quiet.append(looked())
                time.sleep(PAUSE)
            _renew_limits(attack)
            with attacking(port, attack) as attacker:
                time.sleep(0.5)
                end = time.monotonic() + SECONDS
                while not attacker.is_done and (attack.once or time.monotonic() < end):
                    figures.beside.append(looked())
                    time.sleep(PAUSE)
            figures.statuses += attacker.statuses
            figures.faults.update({f"x {code}": n for code, n in attacker.statuses.items() if code.startswith("5")})
        if server.workers() != before:
            figures.faults["worker ended"] += 1
        figures.memory = max(map(_memory, server.workers()))
    print(figures, file=sys.stderr, flush=True)
    return figures


def _wait_for(looked: Callable[[], float]) -> None:
    """Until what an attacker has left behind is over."""
    time.sleep(1)
    for _ in range(CALM):
        looked()


def _renew_limits(attack: Attack) -> None:
    """Nobody has asked for anything yet, but for the key whose requests are used up."""
    from tenants.models import ApiKey
    from tenants.models import Counter as Used
    from tenants.scope import every_company

    Used.objects.all().delete()
    if attack.exhausted:
        with every_company():
            key = ApiKey.objects.get(digest=ApiKey.digest_of(attack.exhausted))
        Used.objects.create(name=f"requests {key.guid}", used=10**9, until=int(time.time() * 1000) + 600_000)


if __name__ == "__main__":
    sys.exit(main())
