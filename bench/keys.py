"""What it costs to know an API key by, with one key in the table and with 100 000.

`python -m bench.keys` measures on a PostgreSQL of its own (see ractory.tests.postgresql):
`CallerAuthentication.authenticate`, from the header to the caller, in a schema with one key and in one with many, in
turn, in one run, both under row-level security. Of the many another one is used each time. The figures are medians.
"""

import os
import random
import sys
import time
from datetime import timedelta
from statistics import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
os.environ.setdefault("SECRET_KEY", "only-for-a-benchmark-" * 3)

KEYS, USED = 100_000, 1_000
ROUNDS, WARM_UP = 3_000, 300
TARGET = 1.10
SCHEMAS = ("few", "many")


def main() -> int:
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        os.execv(sys.executable, [sys.executable, "-m", "ractory.tests.postgresql", sys.executable, "-m", "bench.keys"])
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tenants.scope import every_company

    with every_company():
        texts = {"few": _fill("few", keys=1, used=1), "many": _fill("many", keys=KEYS, used=USED)}
    few, many = (median(times) * 1e6 for times in _measured(texts))
    ratio = many / few
    print(
        f"authenticate a key: {few:.0f} µs with 1 key in the table, {many:.0f} µs with {KEYS}: "
        f"{ratio:.3f}x (target < {TARGET:.2f}x)"
    )
    return 0 if ratio < TARGET else 1


def _fill(schema: str, *, keys: int, used: int) -> list[str]:
    """Fills the tables that authentication reads, in a schema of their own; returns the texts of the used keys."""
    from django.db import connection
    from django.utils import timezone

    from tenants.models import ApiKey
    from tenants.postgresql.policies import protect
    from tenants.tests.factories import CompanyFactory

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
        _use(schema)
        for table, column in {"tenants_company": "guid", "tenants_apikey": "company_guid"}.items():
            cursor.execute(f"CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL)")
            for statement in protect(table, column):
                cursor.execute(statement)
    company = CompanyFactory.create()
    texts = [ApiKey.issue(company=company, scopes=["sync:read"])[1] for _ in range(used)]
    others = (
        ApiKey(company=company, digest=ApiKey.digest_of(str(number)), scopes="sync:read")
        for number in range(keys - used)
    )
    ApiKey.objects.bulk_create(others, batch_size=5_000)
    # Just used: its use is not noted again while this runs.
    ApiKey.objects.update(last_used_at=timezone.now() + timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE tenants_apikey")
        cursor.execute("SELECT count(*) FROM tenants_apikey")
        assert cursor.fetchone() == (keys,)
    return texts


def _use(schema: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"SET search_path TO {schema}, public")


def _measured(texts: dict[str, list[str]]) -> list[list[float]]:
    """The seconds of each authentication, per schema; which goes first alternates."""
    from django.test import RequestFactory
    from rest_framework.request import Request

    from tenants.authentication import CallerAuthentication

    authentication, dice = CallerAuthentication(), random.Random(0)
    times: dict[str, list[float]] = {schema: [] for schema in SCHEMAS}
    for number in range(WARM_UP + ROUNDS):
        for schema in SCHEMAS if number % 2 else reversed(SCHEMAS):
            _use(schema)
            request = Request(RequestFactory().get("/", headers={"X-API-Key": dice.choice(texts[schema])}))
            started = time.perf_counter()
            known = authentication.authenticate(request)
            seconds = time.perf_counter() - started
            assert known is not None
            if number >= WARM_UP:
                times[schema].append(seconds)
    return [times[schema] for schema in SCHEMAS]


if __name__ == "__main__":
    sys.exit(main())
