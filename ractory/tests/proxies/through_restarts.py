"""A rolling restart of two hosts behind docs/nginx.conf, by the recipe of docs/operations.md: clients that keep their
connections notice nothing."""

from contextlib import ExitStack
from pathlib import Path

from bench.faults.restarts import Host, rolling, traffic
from bench.faults.server import environment, manage
from ractory.tests.live import Tenant
from ractory.tests.proxies.through_nginx import UNVERIFIED, two_hosts
from ractory.tests.served import free_port

ROUNDS = 3


def test_two_hosts_that_are_restarted_one_after_the_other_lose_no_request(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    known = environment(url, BEHIND_TLS="true", TRUSTED_PROXIES="1", ALLOWED_HOSTS="ractory.example.com")
    manage(known, "migrate", "--verbosity=0")
    tenant = Tenant.create(known, "Rolling Windows")
    with ExitStack() as stack:
        hosts = [stack.enter_context(Host(known, free_port(), tmp_path / name)) for name in ("one", "two")]
        port = stack.enter_context(two_hosts(list(hosts)))
        with traffic(port, tenant.company, tenant.key, UNVERIFIED) as seen:
            rolling(hosts, ROUNDS)
    assert set(seen.answers) == {"200"}, seen.answers
    assert seen.answers["200"] > 100 * ROUNDS
    assert seen.slowest < 5
