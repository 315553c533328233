"""Bodies that are made to be dear: refused for what they are, before they cost much (integrators.md, "Limits")."""

import gzip
from contextlib import ExitStack

import pytest
from django.test import RequestFactory

from ractory.api.body import LARGE, MAX_VALUES, read_json_body
from ractory.api.tests.client import Api
from sync.models import SyncRun
from tenants.models import Company

MANY = MAX_VALUES + 1
DIGITS = b"9" * 5_000_000


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"[" * 400_000, 413, "more than 250000 values"),
        (b'{"a":' * 400_000, 413, "more than 250000 values"),
        (b"[" * 1000, 400, "recursion limit"),
        (b'{"components":[1' + b",1" * MANY + b"]}", 413, "more than 250000 values"),
        (b'{"components":[' + b"{}," * MANY + b"{}]}", 413, "more than 250000 values"),
        (b'{"components":[],"x":[1' + b",[]" * MANY + b"]}", 413, "more than 250000 values"),
        (b'{"components":[{' + b",".join(b'"%d":1' % n for n in range(MANY)) + b"}]}", 413, "more than 250000 values"),
        (b'{"components":[{"quantity":' + DIGITS + b"}]}", 400, "number out of range"),
        (b'{"components":[{"quantity":-' + DIGITS + b"e9}]}", 400, "number out of range"),
        (b'{"components":' + DIGITS + b"}", 400, "number out of range"),
        (b'{"components":[{"quantity":"x"},{"x":' + b"[" * 300 + b"]" * 300 + b"}]}", 400, "recursion limit"),
        (b'{"components":[' + b"5," * 200 + b"[" * 300 + b"]" * 300 + b"]}", 400, "recursion limit"),
        (b'{"components":[],"x":' + b"[" * 300 + b"]" * 300 + b"}", 400, "recursion limit"),
        (b'{"components":[],"x":' + b"1" * 5000 + b"}", 400, "number out of range"),
        (b'{"components":[{"quantity":"' + DIGITS + b'"}]}', 422, "whole number"),
        (b'{"components":[{"code":"' + b"\\u00e9" * 500_000 + b'"}]}', 422, "at most 255 characters"),
    ],
)
def test_it_is_refused(api: Api, key: str, body: bytes, status: int, said: str) -> None:
    answer = api.with_key(key).post_raw("/api/v1/sync/components", body)
    assert (answer.status_code, len(answer.content) < 2000) == (status, True)
    assert said in answer.content.decode()
    assert SyncRun.across_companies.get(guid=answer.headers["X-Sync-Run"]).http_status == status


def _large(company: Company, said: bytes = b"") -> bytes:
    """A packed batch with a name of 9 MB; `said` stands where a gzip stream says how large it is."""
    body = b'{"projects":[{"%s":1,"code":"1","company_guid":"%s"}]}' % (b"a" * 9_000_000, str(company.guid).encode())
    packed = gzip.compress(body)
    return packed[:-4] + said if said else packed


@pytest.mark.parametrize("said", [b"", bytes(4)], ids=["honest", "lying"])
def test_of_large_bodies_a_process_takes_one_and_refuses_others_at_once(api: Api, key: str, said: bytes) -> None:
    company, path = Company.objects.get(), "/api/v1/sync/projects"
    api.with_key(key)
    other = RequestFactory().post(path, _large(company), "application/json", headers={"Content-Encoding": "gzip"})
    with ExitStack() as alone:
        read_json_body(other, limit=2 * LARGE, alone=alone)
        for packed in (True, False):
            body = _large(company, said) if packed else gzip.decompress(_large(company))
            refused = api.post_raw(path, body, **({"content_encoding": "gzip"} if packed else {}))
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert api.post_raw(path, b'{"projects":[]}').status_code == 200
    for _ in range(2):  # the turn comes back, whether the batch is taken or not
        answer = api.post_raw(path, _large(company, said), content_encoding="gzip")
        assert answer.status_code == (400 if said else 200)
