"""Bodies that are made to be dear: refused for what they are, before they cost much (integrators.md, "Limits")."""

import pytest

from ractory.api.body import MAX_VALUES
from ractory.api.tests.client import Api
from sync.models import SyncRun

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
        (b'{"components":[{"quantity":"' + DIGITS + b'"}]}', 422, "whole number"),
        (b'{"components":[{"code":"' + b"\\u00e9" * 500_000 + b'"}]}', 422, "at most 255 characters"),
    ],
)
def test_it_is_refused(api: Api, key: str, body: bytes, status: int, said: str) -> None:
    answer = api.with_key(key).post_raw("/api/v1/sync/components", body)
    assert (answer.status_code, len(answer.content) < 2000) == (status, True)
    assert said in answer.content.decode()
    assert SyncRun.across_companies.get(guid=answer.headers["X-Sync-Run"]).http_status == status
